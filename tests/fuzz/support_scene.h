/* What a server finds when it starts: a configuration, and a disk with regions in which there is
 * something. And what becomes of the disk. */
#ifndef MREGION_TESTS_SUPPORT_SCENE_H
#define MREGION_TESTS_SUPPORT_SCENE_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "daemon/arguments.h"
#include "daemon/certificates.h"
#include "support_simdisk.h"

/* The largest that any of the configurations has. */
#define SCENE_MESSAGE_MAX ((uint64_t)64 * 1024 * 1024)

struct ssl_ctx_st;

struct scene {
    struct conf conf; /* for server_run, as are the next two */
    struct certificates certificates;
    struct arguments arguments;
    struct simdisk *disk;
    struct simdisk *vault;                       /* where backups are (support_vault.h), or NULL */
    struct simdisk *after_cut, *vault_after_cut; /* what the power's end left of them, or NULL */
    const char *socket;                          /* the path that it listens on */
    const char *http;                            /* the one on which it is watched, or NULL */
    bool is_tls;                                 /* it is to speak TLS on it */
    bool may_fail;                               /* something of the disk does */
    bool may_lie;
    bool may_vault_fail, may_vault_lie; /* likewise of that of the backups */
    bool has_vault_fault, has_clones;
    uint8_t fault, nth_low, nth_high;
};

/* From 6 bytes: 0 says which configuration and disks, 3 what fails and where, 4 and 5 when. */
void scene_init(struct scene *scene, const uint8_t *bytes);
/* From now on calls fail as they are to. */
void scene_begin_faults(struct scene *scene);
/* What a reload is going to find. */
void scene_reconfigure(struct scene *scene, unsigned which);
/* What clients connect with, with a certificate of their own or without. */
struct ssl_ctx_st *scene_context(bool has_certificate);
/* What would be left if the power went now, the first time that it is called. */
void scene_cut(struct scene *scene, struct rng *rng, bool is_backing_up);
/* The server has ended: verifies the disks, and what a cut has left: all regions and backups open
 * and are consistent. */
void scene_end(struct scene *scene);

#endif
