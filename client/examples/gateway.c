/* Blobs for browsers: an HTTP server on a libuv loop, in one thread, that gives out what is at the
 * reference in the request's path, /ADDRESS+SIZE. While one blob is on its way from the region the
 * others are not kept waiting.
 *
 *     cc gateway.c $(pkg-config --cflags --libs mregion libuv) -o gateway
 *     ./gateway unix:/run/mregiond/mregiond.sock main 8080
 *     curl http://127.0.0.1:8080/4096+100 */
#include <inttypes.h>
#include <mregion.h>
#include <mregion_uv.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define REQUEST_MAX 2048
#define BLOB_MAX ((uint64_t)32 << 20)
#define CONNECTIONS_MAX 128

struct client {
    uv_tcp_t socket;
    char request[REQUEST_MAX + 1]; /* what has come of it */
    size_t request_size;
    uv_write_t write;
    char head[256];
    char *body;
    uint64_t size;
};

static struct mregion *connection;
static const char *region;
static struct mregion_error error;

static void must(int code)
{
    if (code == MREGION_OK)
        return;
    fprintf(stderr, "gateway: %s: %s\n", mregion_code_name(error.code), error.text);
    exit(EXIT_FAILURE);
}

static void must_uv(int number, const char *what)
{
    if (number >= 0)
        return;
    fprintf(stderr, "gateway: %s: %s\n", what, uv_strerror(number));
    exit(EXIT_FAILURE);
}

/* ---- The answer ---- */

static void on_closed(uv_handle_t *handle)
{
    struct client *client = handle->data;

    free(client->body);
    free(client);
}

static void close_client(struct client *client)
{
    if (!uv_is_closing((uv_handle_t *)&client->socket))
        uv_close((uv_handle_t *)&client->socket, on_closed);
}

static void on_written(uv_write_t *write, int status)
{
    (void)status;
    close_client(write->data);
}

static void answer(struct client *client, const char *status, const char *type, char *body,
                   size_t size)
{
    int length = snprintf(client->head, sizeof client->head,
                          "HTTP/1.1 %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n"
                          "Connection: close\r\n\r\n",
                          status, type, size);
    uv_buf_t parts[] = {uv_buf_init(client->head, (unsigned)length),
                        uv_buf_init(body, (unsigned)size)};

    client->write.data = client;
    if (uv_write(&client->write, (uv_stream_t *)&client->socket, parts, 2, on_written) != 0)
        close_client(client);
}

static void refuse(struct client *client, const char *status, const char *text)
{
    free(client->body);
    client->body = strdup(text);
    answer(client, status, "text/plain", client->body, client->body != NULL ? strlen(text) : 0);
}

/* ---- The blob ---- */

static const char *status_of(enum mregion_code code)
{
    switch (code) {
    case MREGION_ERR_OUT_OF_BOUNDS:
    case MREGION_ERR_NOT_ALLOCATED:
        return "404 Not Found";
    case MREGION_ERR_TIMEOUT:
    case MREGION_ERR_CONNECT:
        return "504 Gateway Timeout";
    default:
        return "502 Bad Gateway";
    }
}

static void on_loaded(struct mregion *self, const struct mregion_answer *loaded, void *data)
{
    struct client *client = data;

    (void)self;
    if (loaded->code == MREGION_OK)
        answer(client, "200 OK", "application/octet-stream", client->body, (size_t)client->size);
    else
        refuse(client, status_of(loaded->code), loaded->text);
}

static void load(struct client *client)
{
    struct mregion_async async = {.on_answer = on_loaded, .data = client, .timeout_ms = 10000};
    uint64_t address;
    int end = 0, code;

    if (sscanf(client->request, "GET /%" SCNu64 "+%" SCNu64 " HTTP/1.%n", &address, &client->size,
               &end) != 2 ||
        end == 0) {
        refuse(client, "400 Bad Request", "GET /ADDRESS+SIZE");
        return;
    }
    client->body = client->size <= BLOB_MAX ? malloc((size_t)client->size + 1) : NULL;
    if (client->body == NULL) {
        refuse(client, "413 Content Too Large", "too large for this gateway");
        return;
    }
    code = mregion_async_load(connection, region, address, client->size, client->body, &async, NULL,
                              &error);
    if (code != MREGION_OK)
        refuse(client, "503 Service Unavailable", error.text);
}

/* ---- The request ---- */

static void on_room(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_room)
{
    struct client *client = handle->data;

    (void)suggested;
    *ret_room = uv_buf_init(client->request + client->request_size,
                            (unsigned)(REQUEST_MAX - client->request_size));
}

static void on_read(uv_stream_t *stream, ssize_t count, const uv_buf_t *room)
{
    struct client *client = stream->data;

    (void)room;
    if (count < 0) {
        close_client(client);
        return;
    }
    client->request_size += (size_t)count;
    client->request[client->request_size] = '\0';
    if (strstr(client->request, "\r\n\r\n") == NULL && client->request_size < REQUEST_MAX)
        return;
    (void)uv_read_stop(stream);
    load(client);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct client *client = status == 0 ? calloc(1, sizeof *client) : NULL;

    if (client == NULL)
        return;
    client->socket.data = client;
    must_uv(uv_tcp_init(listener->loop, &client->socket), "a socket");
    if (uv_accept(listener, (uv_stream_t *)&client->socket) != 0 ||
        uv_read_start((uv_stream_t *)&client->socket, on_room, on_read) != 0)
        close_client(client);
}

int main(int argc, char **argv)
{
    struct sockaddr_in address;
    struct sockaddr_storage name;
    int length = sizeof name;
    struct mregion_uv watcher;
    uv_tcp_t listener;
    uv_loop_t *loop = uv_default_loop();

    if (argc != 4) {
        fprintf(stderr, "usage: gateway ADDRESS REGION PORT\n");
        return EXIT_FAILURE;
    }
    region = argv[2];
    must(mregion_open(argv[1], NULL, &connection, &error));
    must(mregion_uv_start(&watcher, loop, connection, &error));
    must_uv(uv_ip4_addr("127.0.0.1", atoi(argv[3]), &address), argv[3]);
    must_uv(uv_tcp_init(loop, &listener), "a socket");
    must_uv(uv_tcp_bind(&listener, (const struct sockaddr *)&address, 0), argv[3]);
    must_uv(uv_listen((uv_stream_t *)&listener, CONNECTIONS_MAX, on_connection), argv[3]);
    must_uv(uv_tcp_getsockname(&listener, (struct sockaddr *)&name, &length), argv[3]);
    printf("http://127.0.0.1:%u\n", ntohs(((const struct sockaddr_in *)&name)->sin_port));
    (void)fflush(stdout);
    return uv_run(loop, UV_RUN_DEFAULT);
}
