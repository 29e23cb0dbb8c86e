#include "client/cli_nearest.h"

#include <stdint.h>
#include <string.h>

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* By the optimal string alignment, row by row: row[i][j] is how far the first i letters of a are
 * from the first j of b. */
size_t cli_nearest_distance(const char *a, const char *b)
{
    size_t rows[3][CLI_NEAREST_MAX + 1] = {{0}};
    size_t a_length = strlen(a), b_length = strlen(b);

    if (a_length > CLI_NEAREST_MAX || b_length > CLI_NEAREST_MAX)
        return SIZE_MAX;
    for (size_t j = 0; j <= b_length; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3];
        const size_t *before = rows[(i + 2) % 3], *twice_before = rows[(i + 1) % 3];

        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            row[j] = least(before[j], row[j - 1]) + 1;
            row[j] = least(row[j], before[j - 1] + (a[i - 1] != b[j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], twice_before[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

void cli_nearest_begin(struct cli_nearest *nearest, const char *word)
{
    *nearest = (struct cli_nearest){.word = word, .distance = SIZE_MAX};
}

void cli_nearest_try(struct cli_nearest *nearest, const char *name)
{
    size_t distance = cli_nearest_distance(nearest->word, name);

    if (distance < nearest->distance) {
        nearest->best = name;
        nearest->distance = distance;
    }
}

const char *cli_nearest_found(const struct cli_nearest *nearest)
{
    size_t most = (strlen(nearest->word) + 2) / 3;

    return nearest->distance <= most ? nearest->best : NULL;
}
