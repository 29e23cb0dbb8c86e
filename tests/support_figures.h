/* What the programs of tests/run faults have done, for their sum. */
#ifndef MREGION_TESTS_SUPPORT_FIGURES_H
#define MREGION_TESTS_SUPPORT_FIGURES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

struct faults_figures {
    uint64_t runs;
    uint64_t failed;     /* calls of the disk, or of memory, that failed */
    uint64_t lies;       /* that the disk told, harmless ones too */
    uint64_t detected;   /* of them those that were named, be it a page or a file */
    uint64_t power_cuts; /* after a failure or a lie */
};

/* One line more in the file that MREGION_FAULTS_TOTALS in the environment names, if it does. */
static inline void faults_add_figures(const char *program, const struct faults_figures *figures)
{
    const char *path = getenv("MREGION_FAULTS_TOTALS");
    FILE *out = path == NULL ? NULL : fopen(path, "a");
    if (out == NULL)
        return;
    fprintf(out,
            "faults figures of %s: %llu runs, %llu calls failed, %llu lies told, %llu detected, "
            "%llu power cuts\n",
            program, (unsigned long long)figures->runs, (unsigned long long)figures->failed,
            (unsigned long long)figures->lies, (unsigned long long)figures->detected,
            (unsigned long long)figures->power_cuts);
    fclose(out);
}

#endif
