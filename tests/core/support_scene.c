#include "support_scene.h"

#include <stdlib.h>
#include <string.h>

static const char *complain(struct scene *scene, const char *what, const char *detail)
{
    snprintf(scene->complaint, sizeof scene->complaint, "%s: %s", what, detail);
    return scene->complaint;
}

struct region_options scene_region_options(enum durability durability, enum fit fit)
{
    struct region_options options = region_options_default();
    options.durability = durability;
    options.fit = fit;
    options.flush_interval_ms = FLUSH_INTERVAL_MIN_MS;
    options.journal_size = JOURNAL_SIZE_MIN;
    options.scrub_interval_ms = 10;
    return options;
}

static int open_region(struct scene *scene, struct err *err)
{
    struct region_report report;
    return region_open(simdisk_io(scene->disk), SCENE_FOLDER, NULL, false, &scene->region, &report,
                       err);
}

const char *scene_begin(struct scene *scene, uint64_t seed, const struct region_options *region,
                        const struct pump_options *pump)
{
    struct err err = {0};
    *scene = (struct scene){.disk = simdisk_new(seed)};
    struct io *io = simdisk_io(scene->disk);
    if (region_create(io, SCENE_FOLDER, "main", 1, region, &err) != 0)
        return complain(scene, "creating the region", err.text);
    if (io->ops->sync_directory(io, ".") != 0)
        return complain(scene, "creating the region", "cannot sync its name");
    if (open_region(scene, &err) != 0)
        return complain(scene, "opening a new region", err.text);
    struct region_info info;
    region_get_info(scene->region, &info);
    struct shadow empty;
    shadow_init(&empty);
    empty.pages = info.pages;
    scene->pump = pump_new(scene->disk, scene->region, &empty, pump);
    return info.size == 0 ? NULL : complain(scene, "a new region", "it is not empty");
}

static const char *match(struct scene *scene, const struct observation *seen, uint64_t lowest,
                         uint64_t *ret_found)
{
    uint64_t n = pump_begun(scene->pump);
    while (n > lowest && shadow_difference(pump_state(scene->pump, n), seen) != NULL)
        n--;
    const char *wrong = shadow_difference(pump_state(scene->pump, n), seen);
    *ret_found = n;
    return wrong == NULL ? NULL : complain(scene, "after opening it again", wrong);
}

const char *scene_reopen(struct scene *scene, uint64_t lowest, const struct pump_options *options)
{
    struct err err = {0};
    uint64_t found;
    if (open_region(scene, &err) != 0)
        return complain(scene, "opening it again", err.text);
    struct observation seen;
    const char *wrong = observation_take(&seen, scene->region);
    if (wrong != NULL)
        wrong = complain(scene, "after opening it again", wrong);
    else
        wrong = match(scene, &seen, lowest, &found);
    observation_release(&seen);
    if (wrong != NULL)
        return wrong;
    struct pump *old = scene->pump;
    scene->pump = pump_new(scene->disk, scene->region, pump_state(old, found), options);
    pump_free(old);
    return NULL;
}

const char *scene_close(struct scene *scene)
{
    pump_detach(scene->pump);
    region_close(scene->region);
    scene->region = NULL;
    if (simdisk_open_files(scene->disk) > 0)
        return complain(scene, "closing", "a file is still open");
    if (simdisk_breaches(scene->disk) > 0)
        return complain(scene, "closing", "the contract of io.h was broken");
    return NULL;
}

void scene_set_disk(struct scene *scene, struct simdisk *disk)
{
    simdisk_free(scene->disk);
    scene->disk = disk;
}

void scene_end(struct scene *scene)
{
    bool closable = scene->region != NULL;
    if (closable && scene->pump != NULL)
        closable = pump_abandon(scene->pump);
    if (scene->pump != NULL) {
        pump_detach(scene->pump);
        pump_free(scene->pump);
    }
    if (closable)
        region_close(scene->region);
    if (closable || scene->region == NULL)
        simdisk_free(scene->disk);
    *scene = (struct scene){0};
}

const char *scene_compare(struct scene *scene, uint64_t n, bool bytes)
{
    struct observation seen;
    pump_as_worker(scene->pump, bytes);
    const char *wrong = bytes ? observation_take(&seen, scene->region)
                              : observation_take_blocks(&seen, scene->region);
    pump_as_worker(scene->pump, false);
    if (wrong == NULL)
        wrong = shadow_difference(pump_state(scene->pump, n), &seen);
    observation_release(&seen);
    return wrong == NULL ? NULL : complain(scene, "the open region", wrong);
}
