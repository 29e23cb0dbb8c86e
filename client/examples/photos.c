/* A store of photos: their names in an SQLite database, their bytes in a region.
 *
 * Two stores that have no transaction in common can come apart when something dies in between. Here
 * the database says beforehand what is about to happen, with the token under which it will: done
 * again with that token after a crash it happens once, and the answer is that of the first time. So
 * every start finishes what the run before has left, and no photo is lost, or there twice. (A file
 * that is being added stays as it is until it is there.)
 *
 *     cc photos.c $(pkg-config --cflags --libs mregion sqlite3) -o photos
 *     ./photos unix:/run/mregiond/mregiond.sock main photos.db add NAME FILE
 *     ./photos unix:/run/mregiond/mregiond.sock main photos.db get NAME FILE
 *     ./photos unix:/run/mregiond/mregiond.sock main photos.db remove NAME
 *     ./photos unix:/run/mregiond/mregiond.sock main photos.db list */
#include <fcntl.h>
#include <inttypes.h>
#include <mregion.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* state: what is under way, "adding" the file of this path, or "removing"; "there" otherwise. */
static const char schema[] = "CREATE TABLE IF NOT EXISTS photos ("
                             " name TEXT PRIMARY KEY, state TEXT NOT NULL, token BLOB NOT NULL,"
                             " path TEXT, address INTEGER, size INTEGER)";

struct photo {
    char *name, *state, *path;
    uint8_t token[MREGION_TOKEN_SIZE];
    uint64_t address, size;
};

static struct mregion *connection;
static const char *region;
static struct mregion_error error;
static sqlite3 *database;

static void fail(const char *what, const char *why)
{
    fprintf(stderr, "photos: %s: %s\n", what, why);
    exit(EXIT_FAILURE);
}

static void must(int code)
{
    if (code != MREGION_OK)
        fail(mregion_code_name(error.code), error.text);
}

static void must_sql(int code)
{
    if (code != SQLITE_OK && code != SQLITE_DONE && code != SQLITE_ROW)
        fail("SQLite", sqlite3_errmsg(database));
}

/* ---- The index ---- */

static sqlite3_stmt *prepare(const char *sql)
{
    sqlite3_stmt *statement;

    must_sql(sqlite3_prepare_v2(database, sql, -1, &statement, NULL));
    return statement;
}

static void finish(sqlite3_stmt *statement)
{
    must_sql(sqlite3_step(statement));
    must_sql(sqlite3_finalize(statement));
}

static void bind_text(sqlite3_stmt *statement, int number, const char *text)
{
    must_sql(sqlite3_bind_text(statement, number, text, -1, SQLITE_STATIC));
}

static char *text_of(sqlite3_stmt *statement, int column)
{
    const char *text = (const char *)sqlite3_column_text(statement, column);
    char *copy = strdup(text != NULL ? text : "");

    if (copy == NULL)
        fail("photos", "out of memory");
    return copy;
}

/* The next one of SELECT *; 0 at the end. */
static int next(sqlite3_stmt *statement, struct photo *ret_photo)
{
    int code = sqlite3_step(statement);

    must_sql(code);
    if (code != SQLITE_ROW)
        return 0;
    ret_photo->name = text_of(statement, 0);
    ret_photo->state = text_of(statement, 1);
    ret_photo->path = text_of(statement, 3);
    ret_photo->address = (uint64_t)sqlite3_column_int64(statement, 4);
    ret_photo->size = (uint64_t)sqlite3_column_int64(statement, 5);
    if (sqlite3_column_bytes(statement, 2) != MREGION_TOKEN_SIZE)
        fail(ret_photo->name, "its token has not 16 bytes");
    memcpy(ret_photo->token, sqlite3_column_blob(statement, 2), MREGION_TOKEN_SIZE);
    return 1;
}

static void drop(struct photo *photo)
{
    free(photo->name);
    free(photo->state);
    free(photo->path);
}

static void find(const char *name, struct photo *ret_photo)
{
    sqlite3_stmt *statement = prepare("SELECT * FROM photos WHERE name = ?");

    bind_text(statement, 1, name);
    if (!next(statement, ret_photo))
        fail(name, "there is no such photo");
    must_sql(sqlite3_finalize(statement));
}

/* ---- What was said beforehand ---- */

static void finish_adding(const struct photo *photo)
{
    sqlite3_stmt *statement;
    uint64_t address, size;
    int fd = open(photo->path, O_RDONLY | O_CLOEXEC);

    if (fd < 0) {
        perror(photo->path);
        exit(EXIT_FAILURE);
    }
    mregion_set_token(connection, photo->token);
    must(mregion_add_fd(connection, region, fd, &address, &size, &error));
    (void)close(fd);
    statement = prepare("UPDATE photos SET state = 'there', address = ?, size = ? WHERE name = ?");
    must_sql(sqlite3_bind_int64(statement, 1, (sqlite3_int64)address));
    must_sql(sqlite3_bind_int64(statement, 2, (sqlite3_int64)size));
    bind_text(statement, 3, photo->name);
    finish(statement);
}

static void finish_removing(const struct photo *photo)
{
    sqlite3_stmt *statement;

    mregion_set_token(connection, photo->token);
    must(mregion_deallocate(connection, region, photo->address, photo->size, &error));
    statement = prepare("DELETE FROM photos WHERE name = ?");
    bind_text(statement, 1, photo->name);
    finish(statement);
}

static void finish_all(void)
{
    sqlite3_stmt *statement = prepare("SELECT * FROM photos WHERE state <> 'there'");
    struct photo photo;

    while (next(statement, &photo)) {
        if (strcmp(photo.state, "adding") == 0)
            finish_adding(&photo);
        else
            finish_removing(&photo);
        drop(&photo);
    }
    must_sql(sqlite3_finalize(statement));
}

/* ---- Commands ---- */

static void add(const char *name, const char *file)
{
    char *path = realpath(file, NULL); /* the next start may be elsewhere */
    sqlite3_stmt *statement;

    if (path == NULL) {
        perror(file);
        exit(EXIT_FAILURE);
    }
    statement = prepare("INSERT INTO photos (name, state, token, path)"
                        " VALUES (?, 'adding', randomblob(16), ?)");
    bind_text(statement, 1, name);
    bind_text(statement, 2, path);
    finish(statement);
    finish_all();
    free(path);
}

static void take(const char *name)
{
    sqlite3_stmt *statement;
    struct photo photo;

    find(name, &photo);
    statement = prepare("UPDATE photos SET state = 'removing', token = randomblob(16)"
                        " WHERE name = ?");
    bind_text(statement, 1, name);
    finish(statement);
    finish_all();
    drop(&photo);
}

static void get(const char *name, const char *file)
{
    struct photo photo;
    int fd;

    find(name, &photo);
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        perror(file);
        exit(EXIT_FAILURE);
    }
    must(mregion_load_fd(connection, region, photo.address, photo.size, fd, &error));
    (void)close(fd);
    drop(&photo);
}

static void list(void)
{
    sqlite3_stmt *statement = prepare("SELECT * FROM photos ORDER BY name");
    struct photo photo;

    while (next(statement, &photo)) {
        printf("%s %" PRIu64 "+%" PRIu64 "\n", photo.name, photo.address, photo.size);
        drop(&photo);
    }
    must_sql(sqlite3_finalize(statement));
}

int main(int argc, char **argv)
{
    const char *command = argc > 4 ? argv[4] : "";
    int status = EXIT_SUCCESS;

    if (argc < 5) {
        fprintf(stderr, "usage: photos ADDRESS REGION DATABASE COMMAND...\n");
        return EXIT_FAILURE;
    }
    region = argv[2];
    must(mregion_connect(argv[1], NULL, &connection, &error));
    must_sql(sqlite3_open(argv[3], &database));
    must_sql(sqlite3_exec(database, schema, NULL, NULL, NULL));
    finish_all();
    if (argc == 7 && strcmp(command, "add") == 0) {
        add(argv[5], argv[6]);
    } else if (argc == 7 && strcmp(command, "get") == 0) {
        get(argv[5], argv[6]);
    } else if (argc == 6 && strcmp(command, "remove") == 0) {
        take(argv[5]);
    } else if (argc == 5 && strcmp(command, "list") == 0) {
        list();
    } else {
        fprintf(stderr, "photos: add NAME FILE, get NAME FILE, remove NAME, or list\n");
        status = EXIT_FAILURE;
    }
    must_sql(sqlite3_close(database));
    mregion_close(connection);
    return status;
}
