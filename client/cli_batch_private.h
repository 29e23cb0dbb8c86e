/* What the halves of mrcli's batch share: its changes, and the printing of their results. */
#ifndef MREGION_CLIENT_CLI_BATCH_PRIVATE_H
#define MREGION_CLIENT_CLI_BATCH_PRIVATE_H

#include "client/cli_batch.h"
#include "client/cli_change.h"

enum cli_batch_kind {
    PART_CHANGE,
    PART_REFERENCE, /* add, replace: of so many bytes */
    PART_NOTHING,
    PART_BYTES, /* remove: into a file, or standard output */
};

/* What one change is for: how its result is printed. */
struct cli_batch_part {
    enum cli_batch_kind kind;
    size_t line;
    struct cli_change change;
    uint64_t size;
    char *path; /* owned; NULL: standard output */
};

struct cli_batch {
    struct cli *cli;
    struct mregion_batch *batch;
    const char *region;
    struct cli_batch_part *parts; /* by the index in the batch */
    size_t count;
    size_t capacity;
    bool has_read_stdin;
    bool has_lost_output; /* standard output did not take all */
};

/* Prints what each change of the committed batch has done. 0, or an exit code with the reason
 * printed. */
int cli_batch_print(struct cli_batch *run);

#endif
