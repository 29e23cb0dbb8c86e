#include "support_fake.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/frame.h"

static void must(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        abort();
    }
}

/* ---- Start and stop ---- */

static void *serve(void *data)
{
    struct fake *fake = data;

    for (;;) {
        int fd = accept(fake->listener, NULL, NULL);

        if (fd < 0 && errno == EINTR)
            continue;
        if (fd < 0 || __atomic_load_n(&fake->stopping, __ATOMIC_ACQUIRE)) {
            if (fd >= 0)
                (void)close(fd);
            return NULL;
        }
        fake->script(fake, fd, fake->connections++);
        (void)close(fd);
    }
}

static void path_of(const struct fake *fake, struct sockaddr_un *ret_address)
{
    *ret_address = (struct sockaddr_un){.sun_family = AF_UNIX};
    (void)snprintf(ret_address->sun_path, sizeof ret_address->sun_path, "%s/s", fake->folder);
}

void fake_open(struct fake *fake)
{
    struct sockaddr_un address;
    pthread_t thread;

    path_of(fake, &address);
    fake->stopping = false;
    fake->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(fake->listener >= 0, "socket");
    must(bind(fake->listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(fake->listener, 8) == 0, "listen");
    must(pthread_create(&thread, NULL, serve, fake) == 0, "pthread_create");
    fake->thread = thread;
}

void fake_start(struct fake *fake, fake_script *script, void *context)
{
    struct sockaddr_un address;

    *fake = (struct fake){.script = script, .context = context};
    (void)snprintf(fake->folder, sizeof fake->folder, "/tmp/mregion-fake.XXXXXX");
    must(mkdtemp(fake->folder) != NULL, "mkdtemp");
    path_of(fake, &address);
    (void)snprintf(fake->address, sizeof fake->address, "unix:%s", address.sun_path);
    fake_open(fake);
}

void fake_close(struct fake *fake)
{
    struct sockaddr_un address;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    /* A connection that means nothing wakes the thread, whether it accepts or will. */
    path_of(fake, &address);
    __atomic_store_n(&fake->stopping, true, __ATOMIC_RELEASE);
    (void)connect(fd, (struct sockaddr *)&address, sizeof address);
    must(pthread_join(fake->thread, NULL) == 0, "pthread_join");
    (void)close(fd);
    (void)close(fake->listener);
    (void)unlink(address.sun_path);
}

void fake_stop(struct fake *fake)
{
    fake_close(fake);
    (void)rmdir(fake->folder);
}

/* ---- Requests ---- */

/* How many bytes are to be peeked at until a frame's size is known. */
static uint64_t frame_size(int fd, uint8_t **frame)
{
    struct frame_scanner scanner;
    uint64_t size = 1;
    size_t have = 0;

    frame_reset(&scanner);
    for (;;) {
        enum frame_status status = frame_scan(&scanner, *frame, have, UINT32_MAX, &size);

        if (status == FRAME_COMPLETE)
            return size;
        must(status == FRAME_INCOMPLETE, "the client sent no MessagePack");
        *frame = realloc(*frame, size);
        must(*frame != NULL, "realloc");
        while (have < size) {
            ssize_t count = recv(fd, *frame + have, size - have, 0);

            if (count < 0 && errno == EINTR)
                continue;
            if (count <= 0)
                return 0;
            have += (size_t)count;
        }
    }
}

bool fake_read(struct fake *fake, int fd, struct fake_request *request)
{
    struct err err;
    struct cursor params;

    *request = (struct fake_request){0};
    request->size = frame_size(fd, &request->frame);
    if (request->size == 0) {
        fake_drop(request);
        return false;
    }
    fake->requests++;
    /* fake_drop frees the frame. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    must(rpc_parse(request->frame, request->size, &request->rpc, &err) == 0, err.text);
    (void)snprintf(request->method, sizeof request->method, "%.*s", (int)request->rpc.method_size,
                   (const char *)request->rpc.method);
    params = request->rpc.params;
    for (unsigned i = 0; i < 4; i++)
        request->params[i] = cursor_next(&params);
    return true;
}

void fake_drop(struct fake_request *request)
{
    free(request->frame);
    request->frame = NULL;
}

const uint8_t *fake_token(const struct fake_request *request)
{
    struct cursor cursor = request->rpc.params;
    struct value options;

    for (uint32_t i = 0; i + 1 < request->rpc.params_count; i++)
        cursor_skip(&cursor);
    options = cursor_next(&cursor);
    for (uint32_t i = 0; options.type == VALUE_MAP && i < options.count; i++) {
        struct value key = cursor_next(&cursor), value;

        if (key.type == VALUE_STR && key.raw.size == 5 && memcmp(key.raw.bytes, "token", 5) == 0) {
            value = cursor_next(&cursor);
            must(value.type == VALUE_BIN && value.raw.size == 16, "a token of another form");
            return value.raw.bytes;
        }
        cursor_skip(&cursor);
    }
    return NULL;
}

/* ---- Answers ---- */

bool fake_write(int fd, const void *bytes, size_t size)
{
    const uint8_t *at = bytes;

    while (size > 0) {
        ssize_t count = send(fd, at, size, MSG_NOSIGNAL);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return false;
        at += count;
        size -= (size_t)count;
    }
    return true;
}

static bool send_packed(int fd, msgpack_sbuffer *buffer)
{
    bool done = fake_write(fd, buffer->data, buffer->size);

    msgpack_sbuffer_destroy(buffer);
    return done;
}

bool fake_answer_nil(int fd, uint32_t msgid)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    (void)rpc_pack_result(&packer, msgid);
    (void)msgpack_pack_nil(&packer);
    return send_packed(fd, &buffer);
}

bool fake_answer_uint(int fd, uint32_t msgid, uint64_t number)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    (void)rpc_pack_result(&packer, msgid);
    (void)msgpack_pack_uint64(&packer, number);
    return send_packed(fd, &buffer);
}

bool fake_answer_bin(int fd, uint32_t msgid, const void *bytes, size_t size)
{
    uint8_t header[RPC_BIN_HEADER_MAX];

    return fake_write(fd, header, rpc_bin_header(header, msgid, (uint32_t)size)) &&
           fake_write(fd, bytes, size);
}

bool fake_answer_error(int fd, uint32_t msgid, const char *text)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    (void)msgpack_pack_array(&packer, 4);
    (void)msgpack_pack_int(&packer, 1);
    (void)msgpack_pack_uint32(&packer, msgid);
    (void)msgpack_pack_str_with_body(&packer, text, strlen(text));
    (void)msgpack_pack_nil(&packer);
    return send_packed(fd, &buffer);
}

bool fake_answer_info(int fd, uint32_t msgid, uint64_t max_message)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    (void)rpc_pack_result(&packer, msgid);
    (void)msgpack_pack_map(&packer, 2);
    (void)msgpack_pack_str_with_body(&packer, "later", 5); /* a key that nobody knows yet */
    (void)msgpack_pack_map(&packer, 0);
    (void)msgpack_pack_str_with_body(&packer, "max_message", 11);
    (void)msgpack_pack_uint64(&packer, max_message);
    return send_packed(fd, &buffer);
}

/* ---- A region ---- */

void fake_region_init(struct fake_region *region, uint64_t capacity, uint64_t max_message)
{
    *region = (struct fake_region){.capacity = capacity, .max_message = max_message};
    region->bytes = calloc(1, capacity);
    must(region->bytes != NULL, "calloc");
}

void fake_region_release(struct fake_region *region)
{
    free(region->bytes);
}

/* Hands out the end; UINT64_MAX when it is full. */
static uint64_t take(struct fake_region *region, uint64_t size)
{
    uint64_t address = region->size;

    if (size > region->capacity - region->size)
        return UINT64_MAX;
    region->size += size;
    return address;
}

static bool answer_address(int fd, uint32_t msgid, uint64_t address)
{
    return address == UINT64_MAX ? fake_answer_error(fd, msgid, "no_space: the region is full")
                                 : fake_answer_uint(fd, msgid, address);
}

/* ---- Uploads ---- */

static bool append(struct fake_region *region, int fd, const struct fake_request *request)
{
    struct value bytes = request->params[1];

    if (++region->stores == region->fail_store)
        return fake_answer_error(fd, request->rpc.msgid, "no_space: no room in the journal");
    if (region->stores == region->close_at)
        return false;
    if (bytes.raw.size > region->upload_size - region->appended)
        return fake_answer_error(fd, request->rpc.msgid, "out_of_bounds: too much");
    must(region->size + region->appended + bytes.raw.size <= region->capacity, "room");
    if (bytes.raw.size > 0)
        memcpy(region->bytes + region->size + region->appended, bytes.raw.bytes, bytes.raw.size);
    region->appended += bytes.raw.size;
    return fake_answer_nil(fd, request->rpc.msgid);
}

static bool commit(struct fake_region *region, int fd, const struct fake_request *request)
{
    const uint8_t *token = fake_token(request);

    if (region->upload_size != UINT64_MAX && region->appended != region->upload_size)
        return fake_answer_error(fd, request->rpc.msgid, "invalid_argument: too early");
    region->committed = take(region, region->appended);
    region->upload = 0;
    if (token != NULL)
        memcpy(region->token, token, sizeof region->token);
    if (++region->commits == region->close_commit)
        return false;
    if (region->commits == region->silent_commit)
        return true;
    return answer_address(fd, request->rpc.msgid, region->committed);
}

static bool upload(struct fake_region *region, int fd, const struct fake_request *request)
{
    const char *method = request->method;
    const uint8_t *token = fake_token(request);
    uint32_t msgid = request->rpc.msgid;

    if (strcmp(method, "beginBlob") == 0) {
        struct value size = request->params[1];

        region->upload = 1000 + ++region->uploads;
        region->upload_size = size.type == VALUE_NIL ? UINT64_MAX : size.number;
        region->appended = 0;
        return fake_answer_uint(fd, msgid, region->upload);
    }
    if (token != NULL && region->commits > 0 &&
        memcmp(token, region->token, sizeof region->token) == 0)
        return fake_answer_uint(fd, msgid, region->committed);
    if (region->upload == 0 || request->params[0].number != region->upload)
        return fake_answer_error(fd, msgid, "invalid_argument: no upload");
    if (strcmp(method, "appendBlob") == 0)
        return append(region, fd, request);
    if (strcmp(method, "commitBlob") == 0)
        return commit(region, fd, request);
    region->aborts++;
    region->upload = 0;
    return fake_answer_nil(fd, msgid);
}

static bool blob(struct fake_region *region, int fd, const struct fake_request *request)
{
    const struct value *params = request->params;
    uint32_t msgid = request->rpc.msgid;
    uint64_t address;

    if (strcmp(request->method, "addBlob") == 0) {
        region->adds++;
        address = take(region, params[1].raw.size);
        if (address != UINT64_MAX && params[1].raw.size > 0)
            memcpy(region->bytes + address, params[1].raw.bytes, params[1].raw.size);
        return answer_address(fd, msgid, address);
    }
    if (strcmp(request->method, "storeBlob") == 0) {
        if (++region->stores == region->fail_store)
            return fake_answer_error(fd, msgid, "no_space: no room in the journal");
        if (region->stores == region->close_at)
            return false;
        memcpy(region->bytes + params[1].number, params[2].raw.bytes, params[2].raw.size);
        return fake_answer_nil(fd, msgid);
    }
    if (++region->loads == region->close_at)
        return false;
    return fake_answer_bin(fd, msgid, region->bytes + params[1].number, params[2].number);
}

/* Changes that all answer an address: their numbers stand in. */
static bool batch(int fd, const struct fake_request *request)
{
    struct cursor cursor = request->rpc.params;
    msgpack_sbuffer buffer;
    msgpack_packer packer;
    struct value changes;

    cursor_skip(&cursor);
    changes = cursor_next(&cursor);
    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    (void)rpc_pack_result(&packer, request->rpc.msgid);
    (void)msgpack_pack_array(&packer, changes.count);
    for (uint32_t i = 0; i < changes.count; i++)
        (void)msgpack_pack_uint32(&packer, i);
    return send_packed(fd, &buffer);
}

static bool answer_bool(int fd, uint32_t msgid, bool is_true)
{
    msgpack_sbuffer buffer;
    msgpack_packer packer;

    msgpack_sbuffer_init(&buffer);
    msgpack_packer_init(&packer, &buffer, msgpack_sbuffer_write);
    (void)rpc_pack_result(&packer, msgid);
    (void)(is_true ? msgpack_pack_true(&packer) : msgpack_pack_false(&packer));
    return send_packed(fd, &buffer);
}

static bool answer(struct fake_region *region, int fd, const struct fake_request *request)
{
    const char *method = request->method;
    uint32_t msgid = request->rpc.msgid;

    must(request->size <= region->max_message, "the message is larger than max_message");
    if (strcmp(method, "serverInfo") == 0)
        return fake_answer_info(fd, msgid, region->max_message);
    if (strcmp(method, "authenticate") == 0)
        return fake_answer_nil(fd, msgid);
    if (strcmp(method, "allocate") == 0)
        return answer_address(fd, msgid, take(region, request->params[1].number));
    if (strcmp(method, "isAllocated") == 0)
        return answer_bool(fd, msgid,
                           request->params[1].number + request->params[2].number <= region->size);
    if (strcmp(method, "batch") == 0)
        return batch(fd, request);
    if (strstr(method, "Blob") == method + strlen(method) - 4 && strchr("bac", method[0]) != NULL &&
        strcmp(method, "addBlob") != 0)
        return upload(region, fd, request);
    if (strcmp(method, "deallocate") == 0) {
        region->frees++;
        region->freed_address = request->params[1].number;
        region->freed_size = request->params[2].number;
        return fake_answer_nil(fd, msgid);
    }
    return blob(region, fd, request);
}

void fake_region_script(struct fake *fake, int fd, unsigned number)
{
    struct fake_region *region = fake->context;
    struct fake_request request;
    bool goes_on = true;

    (void)number;
    while (goes_on && fake_read(fake, fd, &request)) {
        goes_on = answer(region, fd, &request);
        fake_drop(&request);
    }
    region->upload = 0; /* it ends with its connection */
}
