/* Who is connected to the server, and what he does: connections, and a part of top. */
#ifndef MREGION_CLIENT_CLI_CONNECTIONS_H
#define MREGION_CLIENT_CLI_CONNECTIONS_H

#include <stddef.h>
#include <stdint.h>

#include "client/cli_command.h"

int cli_connections(struct cli *cli, const struct cli_arguments *arguments);

struct cli_connection {
    uint64_t id;
    char peer[96];
    char user[80];  /* "" where it is nobody's */
    uint64_t since; /* seconds since 1970 */
    uint64_t idle_ms;
    uint64_t requests;
    uint64_t received, sent; /* bytes */
    uint64_t in_flight;
    uint64_t buffered;              /* bytes */
    double rate, rate_in, rate_out; /* a second; see cli_connections_rank */
};

/* In the order of their ids, until they are ranked. Zero it first. */
struct cli_connections {
    struct cli_connection *items;
    size_t count;
};

/* All that there are, or the first 100,000. MREGION_OK, or the library's code with *error filled.
 */
int cli_connections_fetch(struct cli *cli, struct cli_connections *ret_list,
                          struct mregion_error *error);
void cli_connections_release(struct cli_connections *list);

/* Fills in the rates (since the list before, seconds ago, or, where that is empty, since each has
 * come), and puts the busiest first. */
void cli_connections_rank(struct cli_connections *list, struct cli_connections *before,
                          double seconds);

/* "42s", "12m", "5h", "3d". */
#define CLI_CONNECTIONS_AGE_SIZE 32
void cli_connections_format_age(uint64_t seconds, char text[CLI_CONNECTIONS_AGE_SIZE]);

#endif
