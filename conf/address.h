/* The addresses that a server listens on: "tcp:HOST:PORT", "tls:HOST:PORT" and "unix:PATH". */
#ifndef MREGION_CONF_ADDRESS_H
#define MREGION_CONF_ADDRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

#include "conf/conf.h"

/* Fits every sentence; what they quote is cut. */
#define ADDRESS_PROBLEM_SIZE 512

/* Fill *ret_listen, which address_release frees, from length bytes at text. On -EINVAL the problem
 * is a sentence that names the thing and the remedy; *ret_listen is untouched then, and with
 * -ENOMEM (no sentence). */

/* "tcp:HOST:PORT", "tls:HOST:PORT" or "unix:PATH"; the mode of a Unix socket is the default one. */
int address_parse(const char *text, size_t length, struct conf_listen *ret_listen,
                  char problem[ADDRESS_PROBLEM_SIZE]);
/* HOST:PORT. HOST is an IPv4 address, an IPv6 address in brackets or "localhost". */
int address_parse_tcp(const char *text, size_t length, struct conf_listen *ret_listen,
                      char problem[ADDRESS_PROBLEM_SIZE]);
/* The same with TLS. */
int address_parse_tls(const char *text, size_t length, struct conf_listen *ret_listen,
                      char problem[ADDRESS_PROBLEM_SIZE]);
/* PATH, relative or absolute, short enough for a socket address. */
int address_parse_unix(const char *text, size_t length, struct conf_listen *ret_listen,
                       char problem[ADDRESS_PROBLEM_SIZE]);

/* Permissions of a Unix socket where none are given. */
unsigned address_default_mode(void);

/* Whether the listener, where it is one with TLS, has what it needs: a certificate with its key. */
bool address_fits_tls(const struct conf_listen *listen, const struct conf_tls *tls,
                      char problem[ADDRESS_PROBLEM_SIZE]);

void address_release(struct conf_listen *listen);

/* Whether more than the owner and group of a Unix socket, or more than this machine and those who
 * have to show a certificate, can connect: the problem says why that must not be without users. */
bool address_lets_strangers_in(const struct conf_listen *listen, const struct conf_tls *tls,
                               char problem[ADDRESS_PROBLEM_SIZE]);

/* Whether both mean the same socket, however they are written. Two TCP ports 0 never do. */
bool address_is_same(const struct conf_listen *a, const struct conf_listen *b);

/* What bind() takes; "localhost" is 127.0.0.1. Never fails on what address_parse made. */
void address_to_socket(const struct conf_listen *listen, struct sockaddr_storage *ret_address,
                       socklen_t *ret_length);

#endif
