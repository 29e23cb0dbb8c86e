/* TLS around a socket that does not block. Private to libmregion.
 *
 * Sending takes bytes as a socket does: what is taken is on its way, and a rest that the socket had
 * no room for goes with the next call that sends. */
#ifndef MREGION_CLIENT_SECURE_H
#define MREGION_CLIENT_SECURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "client/endpoint.h"
#include "client/mregion.h"

struct secure;

/* Reads the files that the options name; options may be NULL. The endpoint is borrowed until
 * secure_free. MREGION_ERR_LOCAL_IO, ARGUMENT, MEMORY. */
int secure_new(const struct mregion_tls *options, const struct endpoint *endpoint,
               struct secure **ret_secure, struct mregion_error *error);
void secure_free(struct secure *secure);
/* Whether the server has to prove who it is: else whoever is in between may be the other end. */
bool secure_verifies(const struct secure *secure);

/* Begins a connection; secure_stop ends it. MREGION_ERR_ARGUMENT, MEMORY. */
int secure_begin(struct secure *secure, struct mregion_error *error);
/* The handshake, over a socket that is connected and does not block. STEP_WAIT: ask again when the
 * socket can be read, or written while secure_has_output. MREGION_ERR_CONNECT; *ret_is_untrusted:
 * the server is not who it should be, which another attempt does not change. */
int secure_step(struct secure *secure, int fd, bool *ret_is_untrusted, struct mregion_error *error);
/* The end of that connection, which the server is told if the socket takes it at once. Harmless
 * when there is none. */
void secure_stop(struct secure *secure, int fd);

/* As recv and sendmsg: bytes, 0 at the end, or -1 with errno; EAGAIN: later. EPROTO: TLS has
 * failed, and secure_failure says how. */
ssize_t secure_receive(struct secure *secure, int fd, void *room, size_t size);
ssize_t secure_send(struct secure *secure, int fd, const struct iovec *parts, unsigned count);

/* Whether there may be something to receive without waiting for the socket. */
bool secure_has_input(const struct secure *secure);
/* Whether something that was taken has not left. */
bool secure_has_output(const struct secure *secure);

/* Nothing of what was sent stays in memory in the clear. */
void secure_wipe(struct secure *secure);

/* Fills *error with what to do about it: MREGION_ERR_UNAUTHENTICATED where the server wants another
 * certificate, else MREGION_ERR_LOST. */
void secure_failure(const struct secure *secure, struct mregion_error *error);

#endif
