/* The page for people, status.html, as it is served. */
#ifndef MREGION_DAEMON_PAGE_H
#define MREGION_DAEMON_PAGE_H

extern const unsigned char page_bytes[];
extern const unsigned long page_size;

/* The Content-Security-Policy under which it may run its own script and style, and ask the server
 * that it came from, and nothing else. Free it; NULL without memory. */
char *page_policy(void);

#endif
