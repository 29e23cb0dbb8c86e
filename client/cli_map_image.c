#include <cairo-svg.h>
#include <cairo.h>
#include <dlfcn.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include "client/cli_map.h"
#include "client/cli_output.h"

#define SIDE 8 /* of a cell, in pixels */
#define MARGIN 16
#define LINE 18 /* of text */
#define WIDTH_MIN 420

/* cairo is loaded when somebody wants a picture: it takes longer than all else that mrcli does at
 * its start. */
#define FUNCTIONS(FUNCTION)                                                                        \
    FUNCTION(cairo_debug_reset_static_data)                                                        \
    FUNCTION(cairo_create)                                                                         \
    FUNCTION(cairo_destroy)                                                                        \
    FUNCTION(cairo_fill)                                                                           \
    FUNCTION(cairo_image_surface_create)                                                           \
    FUNCTION(cairo_move_to)                                                                        \
    FUNCTION(cairo_paint)                                                                          \
    FUNCTION(cairo_rectangle)                                                                      \
    FUNCTION(cairo_select_font_face)                                                               \
    FUNCTION(cairo_set_font_size)                                                                  \
    FUNCTION(cairo_set_source_rgb)                                                                 \
    FUNCTION(cairo_show_text)                                                                      \
    FUNCTION(cairo_status)                                                                         \
    FUNCTION(cairo_status_to_string)                                                               \
    FUNCTION(cairo_surface_destroy)                                                                \
    FUNCTION(cairo_surface_finish)                                                                 \
    FUNCTION(cairo_surface_status)                                                                 \
    FUNCTION(cairo_surface_write_to_png_stream)                                                    \
    FUNCTION(cairo_svg_surface_create_for_stream)

static struct {
#define MEMBER(name) __typeof__(name) *name;
    FUNCTIONS(MEMBER)
#undef MEMBER
} library;

/* False with *ret_reason, which is good until the next call of dl*. */
static bool load(const char **ret_reason)
{
    void *handle = dlopen("libcairo.so.2", RTLD_NOW | RTLD_LOCAL);
    bool is_whole = handle != NULL;

#define FIND(name)                                                                                 \
    if (is_whole) {                                                                                \
        void *found = dlsym(handle, #name);                                                        \
                                                                                                   \
        memcpy(&library.name, &found, sizeof found);                                               \
        is_whole = found != NULL;                                                                  \
    }
    FUNCTIONS(FIND)
#undef FIND
    if (!is_whole)
        *ret_reason = dlerror();
    return is_whole;
}

/* What it and fontconfig have kept for further pictures. */
static void release(void)
{
    void *fontconfig = dlopen("libfontconfig.so.1", RTLD_NOW | RTLD_NOLOAD);
    void *found = fontconfig != NULL ? dlsym(fontconfig, "FcFini") : NULL;
    void (*finish)(void);

    library.cairo_debug_reset_static_data();
    memcpy(&finish, &found, sizeof found);
    if (found != NULL)
        finish();
}

struct color {
    double red, green, blue;
};

/* From what is free to what is in use. */
static const struct color paper = {1, 1, 1}, ink = {0.13, 0.15, 0.18},
                          free_color = {0.88, 0.90, 0.92}, full = {0.08, 0.42, 0.31},
                          sparse = {0.98, 0.80, 0.35};

static void set_color(cairo_t *cairo, struct color color)
{
    library.cairo_set_source_rgb(cairo, color.red, color.green, color.blue);
}

/* Empty cells are gray; others go from yellow to green. */
static struct color color_of(const struct map *map, size_t cell)
{
    double share = (double)map->used[cell] / (double)map_cell_size(map, cell);

    if (map->used[cell] == 0)
        return free_color;
    return (struct color){sparse.red + share * (full.red - sparse.red),
                          sparse.green + share * (full.green - sparse.green),
                          sparse.blue + share * (full.blue - sparse.blue)};
}

static void draw_text(cairo_t *cairo, int line, double top, const char *text)
{
    library.cairo_move_to(cairo, MARGIN, top + (line + 1) * LINE - 5);
    library.cairo_show_text(cairo, text);
}

static void draw_cells(cairo_t *cairo, const struct map *map, double top)
{
    for (size_t i = 0; i < map->count; i++) {
        size_t row = i / map->columns, column = i % map->columns;
        double x = MARGIN + (double)column * SIDE, y = top + (double)row * SIDE;

        set_color(cairo, color_of(map, i));
        library.cairo_rectangle(cairo, x, y, SIDE - 1, SIDE - 1);
        library.cairo_fill(cairo);
    }
}

static void draw_legend(cairo_t *cairo, const struct map *map, double top)
{
    char size[CLI_OUTPUT_SIZE_SIZE], rest[CLI_OUTPUT_SIZE_SIZE], text[256];

    set_color(cairo, ink);
    cli_output_format_size(map->cell, size);
    (void)snprintf(text, sizeof text, "A cell is %s: gray is free, yellow little, green in use",
                   size);
    draw_text(cairo, 0, top, text);
    cli_output_format_size(map->largest.size, size);
    cli_output_format_size(map->free, rest);
    (void)snprintf(text, sizeof text, "%s free in %" PRIu64 " hole%s, the largest %s", rest,
                   map->holes, map->holes == 1 ? "" : "s", size);
    draw_text(cairo, 1, top, text);
    (void)snprintf(text, sizeof text, "External fragmentation %.3f", map_fragmentation(map));
    draw_text(cairo, 2, top, text);
}

static void draw(cairo_t *cairo, const struct map *map, double rows)
{
    double in_use = map->size > 0 ? 100 * (double)(map->size - map->free) / (double)map->size : 0;
    char size[CLI_OUTPUT_SIZE_SIZE], text[256];

    set_color(cairo, paper);
    library.cairo_paint(cairo);
    library.cairo_select_font_face(cairo, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                                   CAIRO_FONT_WEIGHT_NORMAL);
    library.cairo_set_font_size(cairo, 13);
    set_color(cairo, ink);
    cli_output_format_size(map->size, size);
    (void)snprintf(text, sizeof text, "%s: %s, %.1f%% in use", map->region, size, in_use);
    draw_text(cairo, 0, MARGIN, text);
    draw_cells(cairo, map, MARGIN + LINE + SIDE);
    draw_legend(cairo, map, MARGIN + LINE + 2 * SIDE + rows * SIDE);
}

/* ---- Into the file ---- */

struct sink {
    int fd;
    int number; /* errno of what failed */
};

static cairo_status_t write_sink(void *closure, const unsigned char *bytes, unsigned length)
{
    struct sink *sink = closure;

    while (length > 0) {
        ssize_t count = write(sink->fd, bytes, length);

        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0) {
            sink->number = errno;
            return CAIRO_STATUS_WRITE_ERROR;
        }
        bytes += count;
        length -= (unsigned)count;
    }
    return CAIRO_STATUS_SUCCESS;
}

static int draw_loaded(const struct cli *cli, const struct map *map, enum map_image kind,
                       const struct cli_target *target)
{
    struct sink sink = {.fd = target->fd};
    size_t rows = (map->count + map->columns - 1) / map->columns;
    size_t across = map->columns * SIDE + 2 * MARGIN;
    double width = (double)(across > WIDTH_MIN ? across : WIDTH_MIN);
    double height = (double)(rows * SIDE + 2 * MARGIN + 4 * LINE + 2 * SIDE);
    cairo_surface_t *surface =
        kind == MAP_SVG
            ? library.cairo_svg_surface_create_for_stream(write_sink, &sink, width, height)
            : library.cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    cairo_t *cairo = library.cairo_create(surface);
    cairo_status_t status;

    draw(cairo, map, (double)rows);
    status = library.cairo_status(cairo);
    library.cairo_destroy(cairo);
    if (status == CAIRO_STATUS_SUCCESS && kind == MAP_PNG)
        status = library.cairo_surface_write_to_png_stream(surface, write_sink, &sink);
    library.cairo_surface_finish(surface);
    if (status == CAIRO_STATUS_SUCCESS)
        status = library.cairo_surface_status(surface);
    library.cairo_surface_destroy(surface);
    if (sink.number != 0)
        return cli_fail(cli, CLI_LOCAL_IO, "%s: cannot write: %s", target->name,
                        strerror(sink.number));
    if (status != CAIRO_STATUS_SUCCESS)
        return cli_fail(cli, CLI_LOCAL_IO, "%s: cannot draw: %s", target->name,
                        library.cairo_status_to_string(status));
    return CLI_OK;
}

int map_draw(const struct cli *cli, const struct map *map, enum map_image kind,
             const struct cli_target *target)
{
    const char *reason = NULL;

    if (load(&reason)) {
        int status = draw_loaded(cli, map, kind, target);

        release();
        return status;
    }
    return cli_fail(cli, CLI_LOCAL_IO, "%s: cannot draw: cairo is needed: %s", target->name,
                    reason);
}
