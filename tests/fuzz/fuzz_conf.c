/* The configuration: any bytes are either refused, with one line that has a position within the
 * text and nothing changed, or taken, and then what is printed reads back to the same. */
#include <errno.h>
#include <string.h>

#include "conf/conf.h"
#include "tests/fuzz/fuzz.h"

/* The configuration as text; to be freed. */
static char *print(const struct conf *conf, size_t *ret_size)
{
    char *text = NULL;
    FILE *to = open_memstream(&text, ret_size);

    FUZZ_REQUIRE(to != NULL);
    FUZZ_REQUIRE(conf_print(conf, to) == 0);
    FUZZ_REQUIRE(fclose(to) == 0);
    return text;
}

static void require_values_in_range(const struct conf *conf)
{
    FUZZ_REQUIRE(conf->data_dir != NULL && conf->data_dir[0] != '\0');
    FUZZ_REQUIRE(conf->max_buffered >= conf->max_message);
    FUZZ_REQUIRE(conf->listens_count <= CONF_LISTENS_MAX);
    FUZZ_REQUIRE(conf->regions_count <= CONF_REGIONS_MAX);
    for (size_t i = 0; i < conf->regions_count; i++) {
        const struct conf_region *region = &conf->regions[i];

        FUZZ_REQUIRE(region_name_is_valid(region->name, strlen(region->name)));
        FUZZ_REQUIRE(region_options_check(&region->options, NULL) == 0);
    }
}

static void require_refusal(const struct conf_error *error, size_t size)
{
    FUZZ_REQUIRE(strncmp(error->text, "f:", 2) == 0 || size > CONF_FILE_MAX);
    FUZZ_REQUIRE(strchr(error->text, '\n') == NULL);
    FUZZ_REQUIRE(strlen(error->text) < sizeof error->text - 1);
    FUZZ_REQUIRE(size > CONF_FILE_MAX || (error->line >= 1 && error->line <= size + 1));
    FUZZ_REQUIRE(size > CONF_FILE_MAX || (error->column >= 1 && error->column <= size + 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct conf_error error = {0};
    struct conf conf;
    struct conf again;
    size_t sizes[2] = {0};
    char *texts[2];
    int code;

    FUZZ_REQUIRE(conf_init_defaults(&conf, &error) == 0);
    texts[0] = print(&conf, &sizes[0]);
    code = conf_parse(&conf, (const char *)data, size, "f", &error);
    if (code != 0) {
        FUZZ_REQUIRE(code == -EINVAL);
        require_refusal(&error, size);
    } else {
        require_values_in_range(&conf);
        free(texts[0]);
        texts[0] = print(&conf, &sizes[0]);
        FUZZ_REQUIRE(conf_init_defaults(&again, &error) == 0);
        FUZZ_REQUIRE(conf_parse(&again, texts[0], sizes[0], "again", &error) == 0);
        conf_release(&conf);
        conf = again;
    }
    /* Refused: as before. Taken: as printed. */
    texts[1] = print(&conf, &sizes[1]);
    FUZZ_REQUIRE(sizes[0] == sizes[1] && memcmp(texts[0], texts[1], sizes[0]) == 0);
    free(texts[0]);
    free(texts[1]);
    conf_release(&conf);
    return 0;
}
