#include "support_scene.h"

#include <errno.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf/settings.h"
#include "core/bytes.h"
#include "core/store.h"
#include "support_craft.h"
#include "support_region.h"
#include "support_vault.h"
#include "tests/fuzz/fuzz.h"

/* ---- The disk ---- */

/* Where blobs of many sizes lie, some of them freed again. Made once. */
static struct simdisk *templates[2]; /* well; with damaged pages and many holes */
static struct simdisk *vault_template;
static struct simdisk *disk_of_server, *vault_of_server;
static char data_path[80], backups_path[80]; /* where the server believes they are */

int io_posix_new(const char *path, struct io **ret_io)
{
    *ret_io = simdisk_io(strcmp(path, backups_path) == 0 ? vault_of_server : disk_of_server);
    return 0;
}

void io_posix_free(struct io *io)
{
    (void)io;
}

static uint64_t add(struct region *region, const uint8_t *bytes, uint64_t size)
{
    uint64_t address = 0;
    struct err err;
    int code = REGION_WAIT;
    while (code == REGION_WAIT) {
        code = region_add(region, bytes, size, &address, &err);
        drive_settle(region);
    }
    FUZZ_REQUIRE(code == 0);
    return address;
}

static void fill(struct region *region, unsigned number)
{
    static const uint64_t sizes[] = {10, 100, 3000, 5000, 20000, 70000, 300000, 1200000, 64};
    static uint8_t bytes[1200000];
    uint64_t addresses[sizeof sizes / sizeof sizes[0]];
    struct err err;
    drive_pattern(bytes, sizeof bytes, number);
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        if (sizes[i] < 1000000 || number == 0)
            addresses[i] = add(region, bytes, sizes[i]);
    }
    for (size_t i = 2; i < 6; i += 3)
        FUZZ_REQUIRE(region_deallocate(region, (struct extent){addresses[i], sizes[i]}, &err) == 0);
}

/* More free blocks than are listed at a stretch. */
static void make_holes(struct region *region)
{
    static const uint8_t bytes[8];
    struct err err;
    for (unsigned i = 0; i < 2200; i++) {
        uint64_t address = add(region, bytes, sizeof bytes);
        FUZZ_REQUIRE(region_deallocate(region, (struct extent){address, 4}, &err) == 0);
    }
}

/* As an orderly stop leaves it. */
static void write_checkpoint(struct region *region)
{
    uint64_t ticket;
    struct err err;
    region_hurry(region);
    drive_settle(region);
    FUZZ_REQUIRE(region_request_checkpoint(region, &ticket, &err) == 0);
    drive_settle(region);
}

static struct simdisk *new_disk(bool has_holes)
{
    static const char *const names[] = {"main", "b", "c"};
    struct simdisk *disk = simdisk_new(1);
    struct region_options options = region_options_default();
    struct store *store;
    struct err err;
    FUZZ_REQUIRE(store_open(simdisk_io(disk), false, &store, &err) == 0);
    for (unsigned i = 0; i < 3; i++) {
        struct region *region;
        options.checksum = i == 1 ? CHECKSUM_OFF : CHECKSUM_ON;
        options.page_cache = 1 * MIB;
        FUZZ_REQUIRE(store_create_region(store, names[i], &options, &region, &err) == 0);
        if (i < 2)
            fill(region, i);
        if (i == 1 && has_holes)
            make_holes(region);
        write_checkpoint(region);
        region_close(region);
    }
    store_close(store);
    return disk;
}

static void make_templates(void)
{
    static const uint64_t damaged[] = {9000, 150000, 900000};
    for (int i = 0; i < 2; i++)
        templates[i] = new_disk(i == 1);
    vault_template = vault_new(templates[0]);
    for (size_t i = 0; i < sizeof damaged / sizeof damaged[0]; i++)
        craft_write(templates[1], "regions/main/data", damaged[i], "damaged", 7);
}

/* ---- The configuration ---- */

#define CONFS 8
#define CONF_WATCHED 7
/* The same once more with TLS; with a place for backups; and with most regions off the list, so
 * that they can be renamed. */
#define CONF_TLS CONFS
#define CONF_BACKUPS (2 * CONFS)
#define CONF_UNLISTED (4 * CONFS)
#define CONFS_ALL (8 * CONFS)

/* In memory, where there is such a place: there is a socket in it for each run. */
static char folder[64];
static char socket_path[sizeof folder + 8];
static char http_path[sizeof folder + 8];
static char pem_path[sizeof folder + 8]; /* certificate and key, the server's and the clients' */
static char conf_paths[CONFS_ALL][sizeof folder + 8];

/* @H stands for a hash of "secret", @U and @G for our own uid and gid, @J for the smallest journal,
 * @L for the beginning of a line that is a comment where regions are off the list. */
#define REGIONS(main, c)                                                                           \
    "regions:\n@L{name: main, journal_size: @J, " main "}\n"                                       \
    "@L{name: b, durability: interval, flush_interval: 20ms, fit: lowest}\n"                       \
    "- {name: c, durability: none, discard: 64KiB, " c "}\n"
#define USERS                                                                                      \
    "users:\n- {name: alice, password_hash: '@H', grants: [{regions: main, access: write}, "       \
    "{regions: 'x*', access: admin}]}\n"                                                           \
    "- {name: bob, password_hash: '@H', grants: [{regions: '?', access: read}]}\n"                 \
    "- {name: carol, password_hash: '@H'}\n"                                                       \
    "- {name: eve, certificate: CN=eve, grants: [{regions: '*', access: write}]}\n"
#define SMALL                                                                                      \
    "max_message: 64KiB\nmax_unread: 64KiB\nmax_buffered: 128KiB\nmax_pipeline: 3\n"               \
    "max_batch: 4\nmax_uploads: 2\nmax_regions: 4\n"
#define SHORT "message_timeout: 1s\nidle_timeout: 1s\nstall_timeout: 1s\nupload_timeout: 1s\n"

static const char *const confs[CONFS] = {
    REGIONS("page_cache: 1MiB", "token_window: 2"),
    SMALL REGIONS("page_cache: 64KiB", "max_size: 1MiB"),
    USERS "- {name: dora, uid: @U, grants: [{regions: '*', access: admin}]}\n" REGIONS(
        "page_cache: 1MiB", "scrub_interval: 1h"),
    USERS REGIONS("page_cache: 0", "token_window: 1"),
    SHORT REGIONS("fit: largest", "page_cache: 0"),
    "max_message: 1600KiB\nmax_buffered: 1600KiB\n" REGIONS("page_cache: 128KiB", "fit: largest"),
    SMALL SHORT USERS "- {name: dora, gid: @G, grants: [{regions: '*', access: write}]}\n" REGIONS(
        "page_cache: 1MiB", "page_cache: 1MiB"),
    "max_connections: 3\nmax_connections_per_peer: 2\nlog_level: debug\n" REGIONS(
        "token_window: 3", "scrub_interval: 1h"),
};

static void remove_folder(void)
{
    for (int i = 0; i < CONFS_ALL; i++)
        (void)unlink(conf_paths[i]);
    (void)unlink(pem_path);
    (void)unlink(socket_path);
    (void)unlink(http_path);
    (void)rmdir(data_path);
    (void)rmdir(backups_path);
    (void)rmdir(folder);
}

static void make_folder(void)
{
    static const char *const places[] = {"/dev/shm", "/tmp"};
    for (int i = 0; i < 2 && (i == 0 || folder[0] == '\0'); i++) {
        (void)snprintf(folder, sizeof folder, "%s/mregion-fuzz-XXXXXX", places[i]);
        if (mkdtemp(folder) == NULL)
            folder[0] = '\0';
    }
    FUZZ_REQUIRE(folder[0] != '\0');
    (void)snprintf(data_path, sizeof data_path, "%s/data", folder);
    (void)snprintf(backups_path, sizeof backups_path, "%s/backups", folder);
    FUZZ_REQUIRE(mkdir(data_path, 0700) == 0);
}

static void write_text(FILE *file, const char *text, const char *hash, bool is_unlisted)
{
    for (; *text != '\0'; text++) {
        if (*text != '@')
            (void)fputc(*text, file);
        else if (*++text == 'H')
            (void)fputs(hash, file);
        else if (*text == 'L')
            (void)fputs(is_unlisted ? "#" : "- ", file);
        else
            (void)fprintf(file, "%ju",
                          *text == 'U'   ? (uintmax_t)getuid()
                          : *text == 'G' ? (uintmax_t)getgid()
                                         : (uintmax_t)JOURNAL_SIZE_MIN);
    }
}

static void write_conf(int which, const char *hash)
{
    FILE *file;
    (void)snprintf(conf_paths[which], sizeof conf_paths[which], "%s/%d", folder, which);
    file = fopen(conf_paths[which], "we");
    FUZZ_REQUIRE(file != NULL);
    FUZZ_REQUIRE(fprintf(file, "data_dir: %s\nlisten: [{unix: %s}]\n", data_path, socket_path) > 0);
    if (setting_find(SCOPE_TOP, "sandbox", 7) != NULL)
        (void)fprintf(file, "sandbox: off\n"); /* there would be no next run */
    if (which & CONF_BACKUPS)
        (void)fprintf(file, "backup_dir: %s\n", backups_path);
    if (which & CONF_TLS)
        (void)fprintf(file,
                      "tls_certificate: %s\ntls_key: %s\ntls_ca: %s\ntls_clients: optional\n"
                      "tls_minimum: %s\n",
                      pem_path, pem_path, pem_path, which % 2 == 0 ? "1.2" : "1.3");
    if (which % CONFS == CONF_WATCHED)
        (void)fprintf(file, "http: [{unix: %s}]\n", http_path);
    write_text(file, confs[which % CONFS], hash, which & CONF_UNLISTED);
    FUZZ_REQUIRE(fclose(file) == 0);
}

static X509 *own_certificate;
static EVP_PKEY *own_key;

/* Both ends have the same one, its own authority. */
static void make_certificate(void)
{
    X509 *certificate = own_certificate = X509_new();
    own_key = EVP_EC_gen("P-256");
    FUZZ_REQUIRE(certificate != NULL && own_key != NULL);
    X509_NAME *name = X509_get_subject_name(certificate);
    FUZZ_REQUIRE(X509_set_version(certificate, X509_VERSION_3) == 1 &&
                 ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1) == 1);
    FUZZ_REQUIRE(X509_gmtime_adj(X509_getm_notBefore(certificate), -3600) != NULL &&
                 X509_time_adj_ex(X509_getm_notAfter(certificate), 1000, 0, NULL) != NULL);
    FUZZ_REQUIRE(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"eve",
                                            -1, -1, 0) == 1);
    FUZZ_REQUIRE(X509_set_issuer_name(certificate, name) == 1 &&
                 X509_set_pubkey(certificate, own_key) == 1 &&
                 X509_sign(certificate, own_key, EVP_sha256()) > 0);
    FILE *file = fopen(pem_path, "we");
    FUZZ_REQUIRE(file != NULL && PEM_write_X509(file, certificate) == 1);
    FUZZ_REQUIRE(PEM_write_PrivateKey(file, own_key, NULL, NULL, 0, NULL, NULL) == 1);
    FUZZ_REQUIRE(fclose(file) == 0);
}

SSL_CTX *scene_context(bool has_certificate)
{
    static SSL_CTX *contexts[2];
    SSL_CTX **context = &contexts[has_certificate];
    if (*context != NULL)
        return *context;
    *context = SSL_CTX_new(TLS_client_method());
    FUZZ_REQUIRE(*context != NULL);
    if (has_certificate)
        FUZZ_REQUIRE(SSL_CTX_use_certificate(*context, own_certificate) == 1 &&
                     SSL_CTX_use_PrivateKey(*context, own_key) == 1);
    return *context;
}

static void make_confs(void)
{
    char hash[crypto_pwhash_STRBYTES];
    FUZZ_REQUIRE(sodium_init() >= 0);
    make_folder();
    (void)snprintf(socket_path, sizeof socket_path, "%s/socket", folder);
    (void)snprintf(http_path, sizeof http_path, "%s/http", folder);
    (void)snprintf(pem_path, sizeof pem_path, "%s/pem", folder);
    FUZZ_REQUIRE(crypto_pwhash_str(hash, "secret", 6, crypto_pwhash_OPSLIMIT_MIN,
                                   crypto_pwhash_MEMLIMIT_MIN) == 0);
    make_certificate();
    for (int i = 0; i < CONFS_ALL; i++)
        write_conf(i, hash);
    (void)atexit(remove_folder);
}

void scene_reconfigure(struct scene *scene, unsigned which)
{
    scene->arguments.config = conf_paths[which % CONFS_ALL];
}

/* ---- One scene ---- */

static void make_vault(struct scene *scene, bool is_small)
{
    scene->vault = vault_of_server = simdisk_crash_none(vault_template);
    /* Room for one backup of main, or for many. */
    simdisk_set_capacity(scene->vault, simdisk_used(scene->vault) + (is_small ? 2 : 32) * MIB);
    if (!scene->has_clones)
        return;
    simdisk_set_clones(scene->disk);
    simdisk_set_clones(scene->vault);
}

void scene_init(struct scene *scene, const uint8_t *bytes)
{
    struct conf_error error;
    if (templates[0] == NULL) {
        make_templates();
        make_confs();
    }
    *scene = (struct scene){.socket = socket_path,
                            .may_fail = bytes[0] & 8,
                            .fault = bytes[3] % 16,
                            .nth_low = bytes[4],
                            .nth_high = bytes[5],
                            .has_vault_fault = bytes[3] & 16,
                            .has_clones = bytes[3] & 32};
    scene->is_tls = bytes[0] & 128;
    scene->http = bytes[0] % CONFS == CONF_WATCHED ? http_path : NULL;
    scene_reconfigure(scene, bytes[0] % CONFS + (scene->is_tls ? (unsigned)CONF_TLS : 0) +
                                 (bytes[0] & 16 ? (unsigned)CONF_BACKUPS : 0) +
                                 (bytes[0] & 32 ? (unsigned)CONF_UNLISTED : 0));
    scene->disk = disk_of_server = simdisk_crash_none(templates[bytes[0] >> 3 & 1]);
    simdisk_set_cold_reads(scene->disk, bytes[0] & 64 ? 30 : 0);
    if (bytes[0] & 16)
        make_vault(scene, bytes[3] & 64);
    if (arguments_load(&scene->arguments, &scene->conf, &error) != 0) {
        (void)fprintf(stderr, "%s\n", error.text);
        abort();
    }
    FUZZ_REQUIRE(certificates_load(&scene->conf.tls, &scene->certificates, &error) == 0);
}

void scene_begin_faults(struct scene *scene)
{
    static const struct simdisk_fault faults[] = {
        {.ops = SIM_BIT(SIM_WRITE), .error = EIO},
        {.ops = SIM_SYNCS, .error = EIO},
        {.ops = SIM_CHANGES | SIM_SYNCS, .error = EIO, .forever = true},
        {.ops = SIM_BIT(SIM_ALLOCATE) | SIM_BIT(SIM_WRITE), .error = ENOSPC, .forever = true},
        {.ops = SIM_BIT(SIM_ALLOCATE), .error = ENOSPC},
        {.ops = SIM_BIT(SIM_READ) | SIM_BIT(SIM_READ_NOW), .error = EIO},
        {.ops = SIM_ALL, .error = EIO},
    };
    uint64_t nth = 1 + scene->nth_low + (uint64_t)(scene->nth_high % 4) * 256;
    struct simdisk *disk = scene->disk;
    simdisk_set_capacity(disk, (scene->nth_high & 8 ? 24 : 40) * MIB);
    if (scene->fault >= 8)
        return;
    if (scene->vault != NULL && scene->has_vault_fault) {
        disk = scene->vault; /* which is no reason to fail for anything else */
        scene->may_vault_fail = true;
        scene->may_vault_lie = scene->fault == 7;
    } else {
        scene->may_fail = true;
        scene->may_lie = scene->fault == 7;
    }
    if (scene->fault == 7) {
        simdisk_set_lie(disk, LIE_NONE + 1 + scene->nth_high / 16 % (LIE_LIES - 1), NULL, nth);
        return;
    }
    struct simdisk_fault fault = faults[scene->fault];
    fault.nth = nth;
    simdisk_set_fault(disk, fault);
}

/* ---- The end ---- */

static int open_region(void *context, const char *name)
{
    struct region *region;
    struct err err;
    if (store_open_region(context, name, NULL, &region, NULL, &err) != 0) {
        (void)fprintf(stderr, "region %s: %s\n", name, err.text);
        return -1;
    }
    const char *wrong = region_check(region);
    if (wrong != NULL)
        (void)fprintf(stderr, "region %s: %s\n", name, wrong);
    region_close(region);
    return wrong == NULL ? 0 : -1;
}

static void verify_disk(struct simdisk *disk)
{
    struct store *store;
    struct err err;
    FUZZ_REQUIRE(store_open(simdisk_io(disk), false, &store, &err) == 0);
    FUZZ_REQUIRE(store_list(store, open_region, store, &err) == 0);
    store_close(store);
    FUZZ_REQUIRE(simdisk_breaches(disk) == 0 && simdisk_open_files(disk) == 0);
    simdisk_free(disk);
}

/* As it is from now on, and still is the same. */
static void calm(struct simdisk *disk)
{
    FUZZ_REQUIRE(simdisk_breaches(disk) == 0 && simdisk_open_files(disk) == 0);
    simdisk_set_fault(disk, (struct simdisk_fault){0});
    simdisk_set_hook(disk, NULL, NULL);
    simdisk_set_capacity(disk, 0);
}

void scene_cut(struct scene *scene, struct rng *rng, bool is_backing_up)
{
    if (scene->after_cut != NULL)
        return;
    scene->after_cut = simdisk_crash_random(scene->disk, rng);
    if (scene->vault == NULL)
        return;
    scene->vault_after_cut = simdisk_crash_random(scene->vault, rng);
    if (!is_backing_up && !scene->may_vault_fail)
        vault_compare(scene->vault, scene->vault_after_cut);
}

static void end_disk(struct simdisk *disk, bool may_lie)
{
    if (disk == NULL || may_lie)
        simdisk_free(disk);
    else
        verify_disk(disk);
}

/* Where it can be cloned, what is damaged is, too; and a disk that lies does so about backups. */
static void end_vault(const struct scene *scene, struct simdisk *vault)
{
    if (vault == NULL || scene->may_vault_lie)
        simdisk_free(vault);
    else
        vault_verify(vault, !scene->has_clones);
}

void scene_end(struct scene *scene)
{
    arguments_release(&scene->arguments);
    calm(scene->disk);
    if (scene->vault != NULL)
        calm(scene->vault);
    end_disk(scene->after_cut, scene->may_lie);
    end_disk(scene->disk, scene->may_lie);
    end_vault(scene, scene->vault_after_cut);
    end_vault(scene, scene->vault);
}
