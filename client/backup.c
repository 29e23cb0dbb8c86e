/* Backups, what is made out of them, and their end: as long as the server answers, it is waited
 * for. */
#include "client/call.h"
#include "client/error.h"
#include "client/patient.h"

static int look(struct mregion *connection, const char *region, struct mregion_error *error)
{
    struct request request = {.method = METHOD_PING};

    (void)region;
    return call_for_nothing(connection, &request, error);
}

static int ask(struct mregion *connection, const struct request *request, const char *what,
               uint64_t *ret, struct mregion_error *error)
{
    struct reply reply = {0};
    struct value value;
    int code = patient_call(connection, request, look, what, &reply, error);

    if (code == MREGION_OK)
        code = reply_take_scalar(&reply, VALUE_UINT, &value, error);
    if (code == MREGION_OK && ret != NULL)
        *ret = value.number;
    return code;
}

int mregion_backup_region(struct mregion *connection, const char *region, const char *backup,
                          uint64_t *ret_bytes, struct mregion_error *error)
{
    struct request request = {.method = METHOD_BACKUP_REGION, .region = region, .second = backup};

    return ask(connection, &request, "backup", ret_bytes, error);
}

int mregion_restore_region(struct mregion *connection, const char *backup, const char *name,
                           uint64_t *ret_id, struct mregion_error *error)
{
    struct request request = {.method = METHOD_RESTORE_REGION, .region = backup, .second = name};

    return ask(connection, &request, "restoring", ret_id, error);
}

int mregion_remove_backup(struct mregion *connection, const char *backup,
                          struct mregion_error *error)
{
    struct request request = {.method = METHOD_REMOVE_BACKUP, .region = backup};
    struct reply reply = {0};
    int code = patient_call(connection, &request, look, "removing", &reply, error);

    if (code == MREGION_OK)
        reply_release(&reply);
    return code;
}
