/* The command line of mregiond. */
#ifndef MREGION_DAEMON_ARGUMENTS_H
#define MREGION_DAEMON_ARGUMENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"

enum arguments_mode { MODE_RUN, MODE_CHECK_CONFIG, MODE_PRINT_CONFIG, MODE_CHECK };

struct arguments {
    enum arguments_mode mode;
    const char *config;   /* of the file, or NULL */
    const char *data_dir; /* or NULL */
    const char **listens; /* in their order */
    size_t listens_count;
    const char **regions;
    size_t regions_count;
};

/* Reads the command line; ends the program with EX_USAGE where it is wrong, and after --help and
 * --version. Everything points into argv; release with arguments_release. */
void arguments_parse(struct arguments *arguments, int argc, char **argv);
void arguments_release(struct arguments *arguments);

/* Fills *conf, which need not be initialized, with the defaults, the file and the options, in this
 * order. As conf_load; on failure *conf is left released. Blocks on the file; any thread. */
int arguments_load(const struct arguments *arguments, struct conf *conf, struct conf_error *error);

#endif
