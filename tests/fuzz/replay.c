/* The main of a fuzz target without a fuzzer: feeds it every file of the folders (or the single
 * files) given on the command line, each in a heap block of its exact size, so that a sanitizer
 * sees a read past the end. Fails when something cannot be read or a folder has no file. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "tests/fuzz/fuzz.h"

static int fail(const char *path)
{
    (void)fprintf(stderr, "replay: %s: %s\n", path, strerror(errno));
    return -1;
}

static int feed(const char *path, FILE *file, size_t size)
{
    uint8_t *data = malloc(size == 0 ? 1 : size);
    int code = 0;

    if (data == NULL || fread(data, 1, size, file) != size)
        code = fail(path);
    else
        (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
    return code;
}

static int replay_file(const char *path)
{
    FILE *file = fopen(path, "rbe");
    struct stat status;
    int code;

    if (file == NULL)
        return fail(path);
    /* Said before, so that a crash is known by its file. */
    (void)printf("%s\n", path);
    (void)fflush(stdout);
    code =
        fstat(fileno(file), &status) != 0 ? fail(path) : feed(path, file, (size_t)status.st_size);
    (void)fclose(file);
    return code;
}

static int is_visible(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

/* Sorted, so that two runs are the same. */
static int replay_folder(const char *path)
{
    struct dirent **entries;
    int count = scandir(path, &entries, is_visible, alphasort);
    int code = 0;

    if (count < 0)
        return fail(path);
    if (count == 0) {
        errno = ENOENT;
        code = fail(path);
    }
    for (int i = 0; i < count; i++) {
        char file[PATH_MAX];

        if (snprintf(file, sizeof file, "%s/%s", path, entries[i]->d_name) >= (int)sizeof file) {
            errno = ENAMETOOLONG;
            code = fail(path);
        } else if (replay_file(file) != 0) {
            code = -1;
        }
        free(entries[i]);
    }
    free(entries);
    return code;
}

int main(int argc, char **argv)
{
    int code = argc > 1 ? 0 : -1;

    if (code != 0)
        (void)fprintf(stderr, "usage: %s FOLDER|FILE...\n", argv[0]);
    for (int i = 1; i < argc; i++) {
        struct stat status;

        if (stat(argv[i], &status) != 0)
            code = fail(argv[i]);
        else if ((S_ISDIR(status.st_mode) ? replay_folder : replay_file)(argv[i]) != 0)
            code = -1;
    }
    return code == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
