#include "core/migrate.h"

#include "core/iofile.h"

typedef int meta_reader(const uint8_t *bytes, size_t size, const char *folder,
                        struct meta *ret_meta, struct err *err);

/* By version. A released reader is never changed again. */
static meta_reader *const readers[] = {
    [1] = meta_decode_v1,
    [2] = meta_decode_v2,
};

_Static_assert(sizeof readers / sizeof readers[0] == REGION_FORMAT + 1,
               "every format version has a reader");

int migrate_read_meta(struct io *io, const char *folder, struct meta *ret_meta,
                      uint32_t *ret_version, struct err *err)
{
    uint8_t bytes[META_SIZE_MAX];
    size_t size = 0;
    uint32_t version = 0;
    int code = io_read_small(io, folder, META_FILE, bytes, sizeof bytes, &size, err);
    if (code == 0)
        code = meta_version(bytes, size, folder, &version, err);
    if (code != 0)
        return code;
    if (version > REGION_FORMAT)
        return err_set(err, ERR_INVALID_ARGUMENT,
                       "%s/" META_FILE
                       " has format version %u, and this program knows versions up to %u: "
                       "use a newer mregiond",
                       folder, version, REGION_FORMAT);
    if (readers[version] == NULL)
        return err_set(err, ERR_CORRUPT, "%s/" META_FILE " has format version %u, which never was",
                       folder, version);
    code = readers[version](bytes, size, folder, ret_meta, err);
    if (code == 0)
        *ret_version = version;
    return code;
}
