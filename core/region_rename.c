/* What an open region is called, and being called otherwise. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "core/iofile.h"
#include "core/region_private.h"

struct region_label *region_label_new(const char *path, const char *name, struct err *err)
{
    size_t size = strlen(path) + 1;
    struct region_label *label = calloc(1, sizeof *label + size);
    if (label == NULL) {
        (void)err_no_memory(err);
        return NULL;
    }
    memcpy(label->folder, path, size);
    strncpy(label->name, name, REGION_NAME_MAX);
    return label;
}

void region_label_free(struct region_label *label)
{
    free(label);
}

void region_free_old_labels(struct region *region)
{
    struct region_label *label;
    while ((label = region->old_labels) != NULL) {
        region->old_labels = label->older;
        free(label);
    }
}

void region_call(struct region *region, const char *name)
{
    struct region_label *label = region->label;
    memset(label->name, 0, sizeof label->name);
    strncpy(label->name, name, REGION_NAME_MAX);
    memcpy(region->meta.name, label->name, sizeof region->meta.name);
}

bool region_may_be_renamed(const struct region *region)
{
    unsigned count = 0;
    for (const struct region_label *old = region->old_labels; old != NULL; old = old->older)
        count++;
    return count < REGION_OLD_LABELS;
}

void region_rename(struct region *region, struct region_label *label)
{
    struct region_label *old = region->label;
    assert(region_may_be_renamed(region));
    for (unsigned lane = 0; lane < LANES; lane++)
        assert(region->under_way[lane] == NULL);
    region->label = label;
    region->folder = label->folder;
    memcpy(region->meta.name, label->name, sizeof region->meta.name);
    region->journal.folder = region->folder;
    if (region->checkpoint_state != CHECKPOINT_IDLE)
        region->writer.folder = region->folder;
    old->older = region->old_labels;
    region->old_labels = old;
    if (region->pins.next == &region->pins)
        region_free_old_labels(region);
}
