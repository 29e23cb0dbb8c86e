#include "support_server.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static void must(bool condition, const char *what)
{
    if (!condition) {
        perror(what);
        abort();
    }
}

/* The same one at every start. */
static unsigned find_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr = {.s_addr = htonl(INADDR_LOOPBACK)}};
    socklen_t length = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    must(fd >= 0 && bind(fd, (struct sockaddr *)&address, length) == 0 &&
             getsockname(fd, (struct sockaddr *)&address, &length) == 0,
         "bind");
    (void)close(fd);
    return ntohs(address.sin_port);
}

/* One that vouches for itself. */
static void make_certificate(const struct server *server)
{
    char command[512], path[128];

    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 "
                   "-subj /CN=test -addext subjectAltName=IP:127.0.0.1 -keyout %s/key -out %s/cert "
                   "2>/dev/null",
                   server->folder, server->folder);
    must(system(command) == 0, "openssl");
    (void)snprintf(path, sizeof path, "%s/cert", server->folder);
    must(setenv("SSL_CERT_FILE", path, 1) == 0, "setenv");
}

static void write_listen(struct server *server, FILE *file)
{
    if (getenv("MREGION_TEST_TLS") == NULL) {
        (void)snprintf(server->address, sizeof server->address, "unix:%s/s", server->folder);
        (void)fprintf(file, "listen:\n  - unix: %s/s\n", server->folder);
        return;
    }
    make_certificate(server);
    (void)snprintf(server->address, sizeof server->address, "tls:127.0.0.1:%u", find_port());
    (void)fprintf(file, "listen:\n  - tls: %s\ntls_certificate: %s/cert\ntls_key: %s/key\n",
                  server->address + strlen("tls:"), server->folder, server->folder);
}

static void write_config(struct server *server, const char *max_message)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof path, "%s/mregiond.yaml", server->folder);
    file = fopen(path, "w");
    must(file != NULL, path);
    (void)fprintf(file, "data_dir: %s/data\nmax_message: %s\n", server->folder, max_message);
    write_listen(server, file);
    must(fclose(file) == 0, path);
}

void server_start(struct server *server, const char *max_message)
{
    *server = (struct server){.pid = -1};
    (void)snprintf(server->folder, sizeof server->folder, "/tmp/mregion-library.XXXXXX");
    must(mkdtemp(server->folder) != NULL, "mkdtemp");
    write_config(server, max_message);
    server_start_again(server);
}

static void log_path(const struct server *server, char path[128])
{
    (void)snprintf(path, 128, "%s/log.%u", server->folder, server->starts);
}

static void run(const struct server *server)
{
    const char *program = getenv("MREGIOND");
    char config[128], log[128];
    int fd;

    (void)snprintf(config, sizeof config, "%s/mregiond.yaml", server->folder);
    log_path(server, log);
    fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    must(fd >= 0 && dup2(fd, STDERR_FILENO) >= 0 && dup2(fd, STDOUT_FILENO) >= 0, log);
    if (program == NULL)
        program = "mregiond";
    (void)execlp(program, program, "--config", config, (char *)NULL);
    perror(program);
    _exit(127);
}

/* Whether the log has the word "ready". */
static bool is_ready(const struct server *server)
{
    char path[128], line[512];
    bool found = false;
    FILE *file;

    log_path(server, path);
    file = fopen(path, "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL)
        found = found || strstr(line, "ready") != NULL;
    if (file != NULL)
        (void)fclose(file);
    return found;
}

void server_start_again(struct server *server)
{
    server->starts++;
    server->pid = fork();
    must(server->pid >= 0, "fork");
    if (server->pid == 0)
        run(server);
    while (!is_ready(server)) {
        int status;

        must(waitpid(server->pid, &status, WNOHANG) == 0, "mregiond has ended");
        (void)poll(NULL, 0, 2);
    }
}

int server_end(struct server *server, int number)
{
    int status;

    must(kill(server->pid, number) == 0, "kill");
    while (waitpid(server->pid, &status, 0) < 0)
        must(errno == EINTR, "waitpid");
    server->pid = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static int remove_one(const char *path, const struct stat *status, int type, struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void server_remove(struct server *server)
{
    if (server->pid >= 0)
        must(server_end(server, SIGTERM) == 0, "mregiond's exit status");
    (void)nftw(server->folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
