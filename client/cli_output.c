#include "client/cli_output.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio_ext.h>
#include <string.h>

#include "client/cli_json.h"

/* ---- Sizes ---- */

void cli_output_format_size(uint64_t size, char text[CLI_OUTPUT_SIZE_SIZE])
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double value = (double)size;
    size_t unit = 0;

    while (value >= 1024) {
        value /= 1024;
        unit++;
    }
    (void)snprintf(text, CLI_OUTPUT_SIZE_SIZE, "%.*f %s", unit == 0 ? 0 : 1, value,
                   size == 1 ? "byte" : units[unit]);
}

/* Those keys of the server's maps that count bytes, for the eyes. */
static bool is_size_key(const msgpack_object_str *key)
{
    static const char *const keys[] = {
        "size",         "capacity",     "allocated",   "deallocated",  "max_size",
        "journal_size", "largest_free", "max_message", "max_buffered", NULL};

    for (const char *const *name = keys; *name != NULL; name++) {
        if (strlen(*name) == key->size && memcmp(*name, key->ptr, key->size) == 0)
            return true;
    }
    return false;
}

/* ---- Values ---- */

/* The length of the UTF-8 sequence that text begins with; 0 where that is none. */
static size_t sequence_length(const unsigned char *text, size_t size)
{
    size_t length = text[0] < 0x80 ? 1 : text[0] < 0xe0 ? 2 : text[0] < 0xf0 ? 3 : 4;

    if (text[0] >= 0x80 && (text[0] < 0xc2 || text[0] > 0xf4 || length > size))
        return 0;
    /* Longer forms than need be, surrogates, and what is no character any more. */
    if ((text[0] == 0xe0 && text[1] < 0xa0) || (text[0] == 0xed && text[1] > 0x9f) ||
        (text[0] == 0xf0 && text[1] < 0x90) || (text[0] == 0xf4 && text[1] > 0x8f))
        return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    return length;
}

size_t cli_output_take_character(const char *text, size_t size, bool *ret_steers)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t length = sequence_length(at, size);

    if (length == 0)
        *ret_steers = at[0] >= 0x80 && at[0] <= 0x9f;
    else
        *ret_steers = at[0] < 0x20 || at[0] == 0x7f || (at[0] == 0xc2 && at[1] <= 0x9f);
    return length > 0 ? length : 1;
}

void cli_output_text(FILE *file, enum cli_form form, const char *text, size_t size)
{
    for (size_t length; size > 0; text += length, size -= length) {
        bool steers;

        length = cli_output_take_character(text, size, &steers);
        if (form == CLI_TABLE && steers)
            (void)fputc('?', file);
        else
            (void)fwrite(text, 1, length, file);
    }
}

void cli_output_make_printable(char *text)
{
    size_t left = strlen(text);
    char *to = text;

    for (size_t length; left > 0; text += length, left -= length) {
        bool steers;

        length = cli_output_take_character(text, left, &steers);
        if (steers)
            *to++ = '?';
        else
            to = (char *)memmove(to, text, length) + length;
    }
    *to = '\0';
}

/* A value within a line. */
static void write_inline(FILE *file, enum cli_form form, const msgpack_object *object)
{
    if (object->type == MSGPACK_OBJECT_STR)
        cli_output_text(file, form, object->via.str.ptr, object->via.str.size);
    else
        cli_json_write(file, object);
}

static size_t key_length(const msgpack_object *key)
{
    return key->type == MSGPACK_OBJECT_STR ? key->via.str.size : 1;
}

static void write_map(FILE *file, enum cli_form form, const msgpack_object_map *map)
{
    size_t widest = 0;

    for (uint32_t i = 0; i < map->size; i++) {
        if (key_length(&map->ptr[i].key) > widest)
            widest = key_length(&map->ptr[i].key);
    }
    for (uint32_t i = 0; i < map->size; i++) {
        const msgpack_object *key = &map->ptr[i].key;
        const msgpack_object *value = &map->ptr[i].val;
        char size[CLI_OUTPUT_SIZE_SIZE];

        write_inline(file, form, key);
        if (form == CLI_TABLE)
            (void)fprintf(file, "%*s", (int)(widest - key_length(key)) + 2, "");
        else
            (void)fputc('\t', file);
        write_inline(file, form, value);
        if (form == CLI_TABLE && value->type == MSGPACK_OBJECT_POSITIVE_INTEGER &&
            key->type == MSGPACK_OBJECT_STR && is_size_key(&key->via.str) &&
            value->via.u64 >= 1024) {
            cli_output_format_size(value->via.u64, size);
            (void)fprintf(file, " (%s)", size);
        }
        (void)fputc('\n', file);
    }
}

void cli_output_value(FILE *file, enum cli_form form, const msgpack_object *object)
{
    if (form == CLI_JSON) {
        cli_json_write(file, object);
        (void)fputc('\n', file);
    } else if (object->type == MSGPACK_OBJECT_MAP) {
        write_map(file, form, &object->via.map);
    } else if (object->type == MSGPACK_OBJECT_ARRAY) {
        for (uint32_t i = 0; i < object->via.array.size; i++) {
            write_inline(file, form, &object->via.array.ptr[i]);
            (void)fputc('\n', file);
        }
    } else if (object->type != MSGPACK_OBJECT_NIL) {
        write_inline(file, form, object);
        (void)fputc('\n', file);
    }
}

void cli_output_nothing(FILE *file, enum cli_form form)
{
    if (form == CLI_JSON)
        (void)fputs("null\n", file);
}

void cli_output_json_block(FILE *file, struct mregion_block block)
{
    (void)fprintf(file,
                  "{\"reference\":\"%" PRIu64 "+%" PRIu64 "\",\"address\":%" PRIu64
                  ",\"size\":%" PRIu64 "}",
                  block.address, block.size, block.address, block.size);
}

void cli_output_reference(FILE *file, enum cli_form form, struct mregion_block block)
{
    if (form == CLI_JSON)
        cli_output_json_block(file, block);
    else
        (void)fprintf(file, "%" PRIu64 "+%" PRIu64, block.address, block.size);
    (void)fputc('\n', file);
}

/* ---- Blocks ---- */

#define COLUMN_MIN 10

void cli_output_blocks_begin(FILE *file, struct cli_blocks *blocks, enum cli_form form,
                             uint64_t highest)
{
    *blocks = (struct cli_blocks){.form = form};
    blocks->width = snprintf(NULL, 0, "%" PRIu64, highest);
    if (blocks->width < COLUMN_MIN)
        blocks->width = COLUMN_MIN;
    if (form == CLI_JSON)
        (void)fputc('[', file);
    else if (form == CLI_TABLE)
        (void)fprintf(file, "%*s  %*s  %*s\n", blocks->width, "ADDRESS", blocks->width, "SIZE",
                      blocks->width, "END");
}

void cli_output_blocks(FILE *file, struct cli_blocks *blocks, const struct mregion_block *part,
                       size_t count)
{
    for (const struct mregion_block *block = part; block < part + count; block++) {
        uint64_t end = block->address + block->size;

        if (blocks->form == CLI_JSON)
            (void)fprintf(file, "%s[%" PRIu64 ",%" PRIu64 "]", blocks->count > 0 ? "," : "",
                          block->address, block->size);
        else if (blocks->form == CLI_TABLE)
            (void)fprintf(file, "%*" PRIu64 "  %*" PRIu64 "  %*" PRIu64 "\n", blocks->width,
                          block->address, blocks->width, block->size, blocks->width, end);
        else
            cli_output_reference(file, CLI_RAW, *block);
        blocks->count++;
    }
}

void cli_output_blocks_end(FILE *file, const struct cli_blocks *blocks)
{
    if (blocks->form == CLI_JSON)
        (void)fputs("]\n", file);
}

/* ---- Standard output ---- */

int cli_output_flush(const struct cli *cli)
{
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return CLI_OK;
    /* An error that an earlier write met has left no number. */
    if (errno == 0)
        errno = EIO;
    /* Else the next flush would try the same bytes again. */
    __fpurge(stdout);
    clearerr(stdout);
    return cli_fail(cli, CLI_LOCAL_IO, "standard output: cannot write: %s", strerror(errno));
}
