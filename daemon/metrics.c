#include "daemon/metrics.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum type { COUNTER, GAUGE, HISTOGRAM, INFO };

struct family {
    const char *name; /* without what the type adds */
    const char *unit; /* the end of the name, or "" */
    enum type type;
    const char *help;
};

struct sheet_of_metrics {
    const struct snapshot *snapshot;
    struct textbuf *to;
    bool is_open;
};

/* ---- Lines ---- */

static void put_name(struct sheet_of_metrics *sheet, const struct family *family)
{
    textbuf_put(sheet->to, "mregion_");
    textbuf_put(sheet->to, family->name);
}

/* Counters are told of by their whole name in the one format and without its end in the other. */
static const char *end_of(const struct sheet_of_metrics *sheet, enum type type)
{
    if (sheet->is_open)
        return "";
    return type == COUNTER ? "_total" : type == INFO ? "_info" : "";
}

static void put_comment(struct sheet_of_metrics *sheet, const char *kind,
                        const struct family *family, const char *text)
{
    textbuf_put(sheet->to, kind);
    put_name(sheet, family);
    textbuf_put(sheet->to, end_of(sheet, family->type));
    textbuf_put(sheet->to, " ");
    textbuf_put(sheet->to, text);
    textbuf_put(sheet->to, "\n");
}

static void put_head(struct sheet_of_metrics *sheet, const struct family *family)
{
    static const char *const names[] = {"counter", "gauge", "histogram", "info"};
    bool is_info = family->type == INFO && !sheet->is_open;
    put_comment(sheet, "# HELP ", family, family->help);
    put_comment(sheet, "# TYPE ", family, is_info ? "gauge" : names[family->type]);
    if (sheet->is_open && family->unit[0] != '\0')
        put_comment(sheet, "# UNIT ", family, family->unit);
}

/* A sample's name and labels, as far as there are any. Values need no escapes: methods, codes and
 * regions are letters, digits, dots, underscores and hyphens. */
struct labels {
    const char *key, *value;
    const char *key2, *value2;
};

static void put_sample(struct sheet_of_metrics *sheet, const struct family *family,
                       const char *suffix, struct labels labels)
{
    struct textbuf *to = sheet->to;
    put_name(sheet, family);
    textbuf_put(to, suffix);
    if (labels.key != NULL) {
        textbuf_put(to, "{");
        textbuf_put(to, labels.key);
        textbuf_put(to, "=\"");
        textbuf_put(to, labels.value);
        if (labels.key2 != NULL) {
            textbuf_put(to, "\",");
            textbuf_put(to, labels.key2);
            textbuf_put(to, "=\"");
            textbuf_put(to, labels.value2);
        }
        textbuf_put(to, "\"}");
    }
    textbuf_put(to, " ");
}

static void put_number(struct sheet_of_metrics *sheet, const struct family *family,
                       struct labels labels, uint64_t number)
{
    put_sample(sheet, family, family->type == COUNTER ? "_total" : "", labels);
    textbuf_number(sheet->to, number);
    textbuf_put(sheet->to, "\n");
}

static void put_single(struct sheet_of_metrics *sheet, const struct family *family, uint64_t number)
{
    put_head(sheet, family);
    put_number(sheet, family, (struct labels){0}, number);
}

/* ---- Histograms ---- */

/* Every power of two of microseconds from 16 on, up to half a minute: as many series as a
 * dashboard needs. */
#define OCTAVE_FIRST 4
#define OCTAVE_LAST 25

/* Those below 2^octave microseconds. */
static uint64_t count_below(const struct histogram *histogram, unsigned octave)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        if (histogram_upper_us(i) <= (uint64_t)1 << octave)
            count += histogram->counts[i];
    return count;
}

static void put_bucket(struct sheet_of_metrics *sheet, const struct family *family,
                       struct labels labels, const struct textbuf *bound, uint64_t count)
{
    char text[32] = "+Inf";
    if (bound != NULL) {
        memcpy(text, bound->bytes, bound->used);
        text[bound->used] = '\0';
    }
    if (labels.key == NULL)
        labels = (struct labels){"le", text, NULL, NULL};
    else
        labels = (struct labels){labels.key, labels.value, "le", text};
    put_sample(sheet, family, "_bucket", labels);
    textbuf_number(sheet->to, count);
    textbuf_put(sheet->to, "\n");
}

static void put_histogram(struct sheet_of_metrics *sheet, const struct family *family,
                          struct labels labels, const struct histogram *histogram)
{
    struct textbuf bound = {0};
    for (unsigned octave = OCTAVE_FIRST; octave <= OCTAVE_LAST; octave++) {
        bound.used = 0;
        textbuf_millionths(&bound, (uint64_t)1 << octave);
        if (bound.has_failed) {
            sheet->to->has_failed = true;
            break;
        }
        put_bucket(sheet, family, labels, &bound, count_below(histogram, octave));
    }
    textbuf_release(&bound);
    put_bucket(sheet, family, labels, NULL, histogram_count(histogram));
    put_sample(sheet, family, "_sum", labels);
    textbuf_millionths(sheet->to, histogram->sum_us);
    textbuf_put(sheet->to, "\n");
    put_sample(sheet, family, "_count", labels);
    textbuf_number(sheet->to, histogram_count(histogram));
    textbuf_put(sheet->to, "\n");
}

static void put_single_histogram(struct sheet_of_metrics *sheet, const struct family *family,
                                 const struct histogram *histogram)
{
    put_head(sheet, family);
    put_histogram(sheet, family, (struct labels){0}, histogram);
}

/* ---- The server ---- */

static void put_build(struct sheet_of_metrics *sheet)
{
    static const struct family family = {"build", "", INFO, "The version of the server."};
    put_head(sheet, &family);
    put_sample(sheet, &family, "_info", (struct labels){"version", MREGION_VERSION, NULL, NULL});
    textbuf_put(sheet->to, "1\n");
}

static void put_server(struct sheet_of_metrics *sheet)
{
    const struct snapshot *from = sheet->snapshot;
    const struct {
        struct family family;
        uint64_t number;
    } rows[] = {
        {{"up", "", GAUGE, "Whether the server takes requests, and is not about to stop."},
         from->is_running},
        {{"uptime_seconds", "seconds", GAUGE, "Time since the server started."},
         from->time_us / 1000000},
        {{"regions", "", GAUGE, "Regions that are open."}, from->regions_total},
        {{"connections", "", GAUGE, "Connections that are open."}, from->connections},
        {{"connections_limit", "", GAUGE, "Connections that may be open: max_connections."},
         from->max_connections},
        {{"connections_opened", "", COUNTER, "Connections that came."}, from->connections_total},
        {{"connections_refused", "", COUNTER, "Connections that were closed as soon as they came."},
         from->connections_refused},
        {{"connections_failed", "", COUNTER, "Connections that were closed for what they sent."},
         from->connections_failed},
        {{"connections_timed_out", "", COUNTER, "Connections that were closed for being slow."},
         from->connections_timed_out},
        {{"authentications", "", COUNTER, "Connections that became a user's."},
         from->authentications},
        {{"authentication_failures", "", COUNTER, "Passwords that were not taken."},
         from->authentication_failures},
        {{"refusals", "", COUNTER, "Requests that were refused because of who asked."},
         from->refusals},
        {{"received_bytes", "bytes", COUNTER, "Bytes of requests that were executed."},
         from->received_bytes},
        {{"sent_bytes", "bytes", COUNTER, "Bytes of answers that were sent."}, from->sent_bytes},
        {{"buffered_bytes", "bytes", GAUGE, "Bytes of requests and answers in memory."},
         from->buffered},
        {{"buffered_limit_bytes", "bytes", GAUGE, "Bytes there may be: max_buffered."},
         from->max_buffered},
        {{"uploads", "", GAUGE, "Uploads that are open."}, from->uploads},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        put_single(sheet, &rows[i].family, rows[i].number);
}

static void put_requests(struct sheet_of_metrics *sheet)
{
    static const struct family requests = {"requests", "", COUNTER,
                                           "Requests and notifications that were executed."};
    static const struct family errors = {"request_errors", "", COUNTER, "Requests that failed."};
    static const struct family latency = {
        "request_duration_seconds", "seconds", HISTOGRAM,
        "Time from a request's turn to the end of the turn in which it was answered."};
    static const struct family codes = {"errors", "", COUNTER, "Requests that failed, by code."};
    const struct stats *stats = &sheet->snapshot->stats;
    put_head(sheet, &requests);
    for (unsigned i = 0; i < STATS_KINDS; i++)
        put_number(sheet, &requests, (struct labels){"method", stats_kind_name(i), NULL, NULL},
                   stats->by_kind[i].requests);
    put_head(sheet, &errors);
    for (unsigned i = 0; i < STATS_KINDS; i++)
        put_number(sheet, &errors, (struct labels){"method", stats_kind_name(i), NULL, NULL},
                   stats->by_kind[i].errors);
    put_head(sheet, &latency);
    for (unsigned i = 0; i < STATS_KINDS; i++)
        if (stats->by_kind[i].requests > 0)
            put_histogram(sheet, &latency,
                          (struct labels){"method", stats_kind_name(i), NULL, NULL},
                          &stats->by_kind[i].latency);
    put_head(sheet, &codes);
    for (unsigned i = ERR_OK + 1; i < ERR_CODES; i++)
        put_number(sheet, &codes, (struct labels){"code", err_name((enum err_code)i), NULL, NULL},
                   stats->error_codes[i]);
}

static void put_disk(struct sheet_of_metrics *sheet)
{
    static const struct family commit = {
        "commit_duration_seconds", "seconds", HISTOGRAM,
        "Time from handing a batch of changes to a worker until it is durable."};
    static const struct family sync = {"sync_duration_seconds", "seconds", HISTOGRAM,
                                       "Time of each sync of a file."};
    static const struct family checkpoint = {"checkpoint_duration_seconds", "seconds", HISTOGRAM,
                                             "Time of each checkpoint that was completed."};
    put_single_histogram(sheet, &commit, &sheet->snapshot->stats.commit);
    put_single_histogram(sheet, &sync, &sheet->snapshot->sync);
    put_single_histogram(sheet, &checkpoint, &sheet->snapshot->stats.checkpoint);
}

/* ---- Regions ---- */

#define OF_INFO(field) offsetof(struct region_info, field)

static const struct {
    struct family family;
    size_t offset;
} of_regions[] = {
    {{"region_size_bytes", "bytes", GAUGE, "Bytes handed out so far, in use or free."},
     OF_INFO(size)},
    {{"region_capacity_bytes", "bytes", GAUGE, "Bytes of all pages."}, OF_INFO(capacity)},
    {{"region_allocated_bytes", "bytes", GAUGE, "Bytes in use."}, OF_INFO(allocated)},
    {{"region_free_bytes", "bytes", GAUGE, "Bytes free below the size."}, OF_INFO(deallocated)},
    {{"region_holes", "", GAUGE, "Free blocks."}, OF_INFO(free_blocks)},
    {{"region_largest_hole_bytes", "bytes", GAUGE, "Bytes of the largest free block."},
     OF_INFO(largest_free)},
    {{"region_journal_bytes", "bytes", GAUGE, "Journal that a restart would replay."},
     OF_INFO(journal_bytes)},
    {{"region_journal_written_bytes", "bytes", COUNTER, "Journal written since it was opened."},
     OF_INFO(journal_written)},
    {{"region_page_cache_bytes", "bytes", GAUGE, "Bytes of verified pages in memory."},
     OF_INFO(page_cache_used)},
    {{"region_page_cache_hits", "", COUNTER, "Pages that loads found verified in memory."},
     OF_INFO(cache_hits)},
    {{"region_page_cache_misses", "", COUNTER, "Pages that loads did not find so."},
     OF_INFO(cache_misses)},
    {{"region_uploads", "", GAUGE, "Uploads in progress."}, OF_INFO(uploads)},
    {{"region_commits", "", COUNTER, "Batches of changes made durable."}, OF_INFO(commits)},
    {{"region_checkpoints", "", COUNTER, "Checkpoints completed."}, OF_INFO(checkpoints)},
    {{"region_discarded_bytes", "bytes", COUNTER, "Bytes given back to the file system."},
     OF_INFO(discarded_bytes)},
    {{"region_damaged_pages", "", GAUGE, "Pages known to be damaged."}, OF_INFO(damaged_pages)},
};

static uint64_t number_at(const struct region_info *info, size_t offset)
{
    uint64_t number;
    memcpy(&number, (const char *)info + offset, sizeof number);
    return number;
}

static void put_regions(struct sheet_of_metrics *sheet)
{
    static const struct family failed = {
        "region_read_only", "", GAUGE, "Whether the region has failed and takes no more changes."};
    static const struct family errors = {"region_errors", "", COUNTER, "Requests that failed."};
    static const struct family operations = {"region_operations", "", COUNTER,
                                             "Requests that were executed, of methods that were "
                                             "asked for."};
    const struct snapshot *from = sheet->snapshot;
    for (size_t f = 0; f < sizeof of_regions / sizeof of_regions[0]; f++) {
        put_head(sheet, &of_regions[f].family);
        for (size_t i = 0; i < from->count; i++)
            put_number(sheet, &of_regions[f].family,
                       (struct labels){"region", from->regions[i].name, NULL, NULL},
                       number_at(&from->regions[i].info, of_regions[f].offset));
    }
    put_head(sheet, &failed);
    for (size_t i = 0; i < from->count; i++)
        put_number(sheet, &failed, (struct labels){"region", from->regions[i].name, NULL, NULL},
                   from->regions[i].info.read_only);
    put_head(sheet, &errors);
    for (size_t i = 0; i < from->count; i++)
        put_number(sheet, &errors, (struct labels){"region", from->regions[i].name, NULL, NULL},
                   from->regions[i].errors);
    put_head(sheet, &operations);
    for (size_t i = 0; i < from->count; i++)
        for (unsigned kind = 0; kind < STATS_KINDS; kind++)
            if (from->regions[i].operations[kind] > 0)
                put_number(sheet, &operations,
                           (struct labels){"region", from->regions[i].name, "method",
                                           stats_kind_name(kind)},
                           from->regions[i].operations[kind]);
}

void metrics_write(const struct snapshot *snapshot, bool is_open, struct textbuf *to)
{
    struct sheet_of_metrics sheet = {snapshot, to, is_open};
    put_build(&sheet);
    put_server(&sheet);
    put_requests(&sheet);
    put_disk(&sheet);
    put_regions(&sheet);
    if (is_open)
        textbuf_put(to, "# EOF\n");
}

/* ---- Which one ---- */

/* The weight of one part of the header: q, 1 where it has none. */
static double weight(const char *part, size_t length)
{
    for (size_t i = 0; i + 2 < length; i++)
        if (part[i] == ';' || part[i] == ' ')
            if (strncasecmp(part + i + 1, "q=", 2) == 0)
                return strtod(part + i + 3, NULL);
    return 1;
}

static void note_weight(const char *part, size_t length, const char *type, double *most)
{
    size_t size = strlen(type);
    if (length < size || strncasecmp(part, type, size) != 0)
        return;
    double q = weight(part, length);
    if (q > *most)
        *most = q;
}

bool metrics_wants_open(const char *accept)
{
    double open = 0, plain = 0;
    while (accept != NULL && *accept != '\0') {
        accept += strspn(accept, " \t,");
        size_t length = strcspn(accept, ",");
        note_weight(accept, length, "application/openmetrics-text", &open);
        note_weight(accept, length, "text/plain", &plain);
        accept += length;
    }
    return open > 0 && open >= plain;
}
