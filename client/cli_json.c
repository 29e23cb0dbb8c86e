#include "client/cli_json.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "client/cli_base64.h"
#include "client/cli_output.h"

/* jansson keeps integers in 63 bits. Those that need 64 are wrapped before it reads the text, as
 * the only member of an object, under a key that means the same when somebody types it. */
#define WIDE_KEY "uint64"
#define BASE64_KEY "base64"

/* ---- JSON to MessagePack ---- */

struct packing {
    msgpack_packer packer;
    char *problem;
};

static bool fail(char *problem, const char *text)
{
    (void)snprintf(problem, CLI_JSON_PROBLEM_SIZE, "%s", text);
    return false;
}

/* The length of the number without fraction and exponent at the start of text; 0 for any other. */
static size_t integer_length(const char *text)
{
    size_t length = strspn(text, "0123456789");

    return text[length] == '.' || text[length] == 'e' || text[length] == 'E' ? 0 : length;
}

static bool is_wide(const char *digits, size_t length)
{
    static const char most[] = "9223372036854775807";

    return length > sizeof most - 1 ||
           (length == sizeof most - 1 && memcmp(digits, most, length) > 0);
}

/* Copies the text to file with every integer above 2^63-1 wrapped. */
static void wrap_wide(FILE *file, const char *text)
{
    bool in_string = false;
    size_t length;

    while (*text != '\0') {
        length = 1;
        if (in_string && *text == '\\' && text[1] != '\0')
            length = 2;
        else if (*text == '"')
            in_string = !in_string;
        else if (!in_string && (*text == '-' || (*text >= '0' && *text <= '9')))
            length = strspn(text, "+-.0123456789eE");
        if (!in_string && integer_length(text) == length && is_wide(text, length))
            (void)fprintf(file, "{\"" WIDE_KEY "\":\"%.*s\"}", (int)length, text);
        else
            (void)fwrite(text, 1, length, file);
        text += length;
    }
}

static bool pack_wide(struct packing *packing, const char *digits)
{
    uint64_t value = 0;

    for (const char *at = digits; *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || __builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value)) {
            (void)snprintf(packing->problem, CLI_JSON_PROBLEM_SIZE,
                           "%.40s is no integer of at most 64 bits", digits);
            return false;
        }
    }
    return msgpack_pack_uint64(&packing->packer, value) == 0 ||
           fail(packing->problem, "out of memory");
}

static bool pack_base64(struct packing *packing, const json_t *string)
{
    size_t length = json_string_length(string);
    uint8_t *bytes = malloc(length / 4 * 3 + 1);
    size_t size;
    bool is_ok = false;

    if (bytes == NULL)
        return fail(packing->problem, "out of memory");
    if (!cli_base64_decode(json_string_value(string), length, bytes, &size))
        (void)fail(packing->problem, "{\"base64\": ...} does not hold valid base64");
    else if (msgpack_pack_bin_with_body(&packing->packer, bytes, size) != 0)
        (void)fail(packing->problem, "out of memory");
    else
        is_ok = true;
    free(bytes);
    return is_ok;
}

static bool pack_value(struct packing *packing, const json_t *value);

static bool pack_object(struct packing *packing, const json_t *object)
{
    json_t *writable = (json_t *)object; /* the iterators do not change it */
    const json_t *base64 = json_object_get(object, BASE64_KEY);
    const json_t *wide = json_object_get(object, WIDE_KEY);
    bool is_single = json_object_size(object) == 1;
    const char *key;
    json_t *value;
    bool is_ok;

    if (is_single && json_is_string(base64))
        return pack_base64(packing, base64);
    if (is_single && json_is_string(wide))
        return pack_wide(packing, json_string_value(wide));
    is_ok = msgpack_pack_map(&packing->packer, json_object_size(object)) == 0;
    json_object_foreach(writable, key, value)
    {
        is_ok = is_ok && msgpack_pack_str_with_body(&packing->packer, key, strlen(key)) == 0 &&
                pack_value(packing, value);
    }
    return is_ok;
}

static bool pack_array(struct packing *packing, const json_t *array)
{
    bool is_ok = msgpack_pack_array(&packing->packer, json_array_size(array)) == 0;

    for (size_t i = 0; is_ok && i < json_array_size(array); i++)
        is_ok = pack_value(packing, json_array_get(array, i));
    return is_ok;
}

static bool pack_value(struct packing *packing, const json_t *value)
{
    msgpack_packer *packer = &packing->packer;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return pack_object(packing, value);
    case JSON_ARRAY:
        return pack_array(packing, value);
    case JSON_STRING:
        return msgpack_pack_str_with_body(packer, json_string_value(value),
                                          json_string_length(value)) == 0;
    case JSON_INTEGER:
        return msgpack_pack_int64(packer, json_integer_value(value)) == 0;
    case JSON_REAL:
        return msgpack_pack_double(packer, json_real_value(value)) == 0;
    case JSON_TRUE:
        return msgpack_pack_true(packer) == 0;
    case JSON_FALSE:
        return msgpack_pack_false(packer) == 0;
    default:
        return msgpack_pack_nil(packer) == 0;
    }
}

/* NULL with problem filled. Give it to json_decref. */
static json_t *parse(const char *text, char *problem)
{
    char *wrapped = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&wrapped, &size);
    json_t *value = NULL;
    json_error_t error;

    (void)fail(problem, "out of memory");
    if (file != NULL) {
        wrap_wide(file, text);
        if (fclose(file) == 0) {
            value = json_loadb(wrapped, size,
                               JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
            if (value == NULL)
                (void)fail(problem, error.text);
        }
    }
    free(wrapped);
    return value;
}

bool cli_json_pack(const char *text, msgpack_sbuffer *buffer, char problem[CLI_JSON_PROBLEM_SIZE])
{
    struct packing packing = {.problem = problem};
    json_t *value = parse(text, problem);
    bool is_ok;

    if (value == NULL)
        return false;
    (void)fail(problem, "out of memory");
    msgpack_packer_init(&packing.packer, buffer, msgpack_sbuffer_write);
    is_ok = pack_value(&packing, value);
    json_decref(value);
    return is_ok;
}

/* ---- MessagePack to JSON ---- */

void cli_json_write_bytes(FILE *file, const void *bytes, size_t size)
{
    (void)fputs("{\"" BASE64_KEY "\":\"", file);
    cli_base64_write(file, bytes, size);
    (void)fputs("\"}", file);
}

/* A terminal obeys more control characters than JSON has to have escaped: U+007F to U+009F, whose
 * last byte is their number. */
static void write_escaped(FILE *file, const char *text)
{
    size_t left = strlen(text);

    for (size_t length; left > 0; text += length, left -= length) {
        bool steers;

        length = cli_output_take_character(text, left, &steers);
        if (steers)
            (void)fprintf(file, "\\u00%02X", (unsigned)(unsigned char)text[length - 1]);
        else
            (void)fwrite(text, 1, length, file);
    }
}

void cli_json_write_string(FILE *file, const char *bytes, size_t size)
{
    /* An empty one may come without an address. */
    json_t *string = json_stringn(size > 0 ? bytes : "", size);
    char *text = string != NULL ? json_dumps(string, JSON_ENCODE_ANY) : NULL;

    if (text != NULL)
        write_escaped(file, text);
    else
        cli_json_write_bytes(file, bytes, size);
    free(text);
    json_decref(string);
}

/* With as few digits as bring back the same number, and always a mark that it is a float. */
static void write_float(FILE *file, double value)
{
    char text[40] = "null";

    for (int digits = 15; isfinite(value) && digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    (void)fputs(text, file);
    if (isfinite(value) && strpbrk(text, ".e") == NULL)
        (void)fputs(".0", file);
}

static void write_key(FILE *file, const msgpack_object *key)
{
    char *text = NULL;
    size_t size = 0;
    FILE *memory = open_memstream(&text, &size);
    bool is_there = false;

    if (memory != NULL) {
        cli_json_write(memory, key);
        is_there = fclose(memory) == 0;
    }
    if (is_there && text[0] == '"')
        (void)fwrite(text, 1, size, file);
    else
        cli_json_write_string(file, text, is_there ? size : 0);
    free(text);
}

static void write_map(FILE *file, const msgpack_object_map *map)
{
    (void)fputc('{', file);
    for (uint32_t i = 0; i < map->size; i++) {
        if (i > 0)
            (void)fputc(',', file);
        write_key(file, &map->ptr[i].key);
        (void)fputc(':', file);
        cli_json_write(file, &map->ptr[i].val);
    }
    (void)fputc('}', file);
}

static void write_array(FILE *file, const msgpack_object_array *array)
{
    (void)fputc('[', file);
    for (uint32_t i = 0; i < array->size; i++) {
        if (i > 0)
            (void)fputc(',', file);
        cli_json_write(file, &array->ptr[i]);
    }
    (void)fputc(']', file);
}

void cli_json_write(FILE *file, const msgpack_object *object)
{
    switch (object->type) {
    case MSGPACK_OBJECT_NIL:
        (void)fputs("null", file);
        break;
    case MSGPACK_OBJECT_BOOLEAN:
        (void)fputs(object->via.boolean ? "true" : "false", file);
        break;
    case MSGPACK_OBJECT_POSITIVE_INTEGER:
        (void)fprintf(file, "%llu", (unsigned long long)object->via.u64);
        break;
    case MSGPACK_OBJECT_NEGATIVE_INTEGER:
        (void)fprintf(file, "%lld", (long long)object->via.i64);
        break;
    case MSGPACK_OBJECT_FLOAT32:
    case MSGPACK_OBJECT_FLOAT64:
        write_float(file, object->via.f64);
        break;
    case MSGPACK_OBJECT_STR:
        cli_json_write_string(file, object->via.str.ptr, object->via.str.size);
        break;
    case MSGPACK_OBJECT_ARRAY:
        write_array(file, &object->via.array);
        break;
    case MSGPACK_OBJECT_MAP:
        write_map(file, &object->via.map);
        break;
    case MSGPACK_OBJECT_BIN:
        cli_json_write_bytes(file, object->via.bin.ptr, object->via.bin.size);
        break;
    case MSGPACK_OBJECT_EXT:
        (void)fprintf(file, "{\"ext\":%d,\"" BASE64_KEY "\":\"", object->via.ext.type);
        cli_base64_write(file, object->via.ext.ptr, object->via.ext.size);
        (void)fputs("\"}", file);
        break;
    }
}
