#include "sim/checkpoint_file.h"
#include "sim/bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { VERSION = 5, NAME = 48 };
static const char magic[8] = "FXSIMCK1";

// One registered array.
typedef struct Item {
    char name[NAME];
    FxTensor data;
} Item;

// Totals as plain 64-bit numbers.
static void pack(const FxRun *run, uint64_t packed[FX_CHECKPOINT_TOTALS]) {
    const FxTotals *t = &run->totals;
    uint64_t sum, chunk; // the bits of reals
    memcpy(&sum, &t->loss.sum, sizeof sum);
    memcpy(&chunk, &t->loss.chunk, sizeof chunk);
    const uint64_t values[FX_CHECKPOINT_TOTALS] = {run->step, run->images, t->images, (uint64_t)t->answers.loss,
                                     (uint64_t)(t->answers.loss >> 64), t->answers.wrong, t->answers.ties, t->zero_tensors,
                                     t->saturated, t->store_changed, (uint64_t)(int64_t)run->loss_exponent,
                                     t->lost_targets, sum, chunk, t->loss.images, t->skipped_steps, t->lost_errors, t->lost_weights,
                                     (uint64_t)run->loss_scale.mantissa, (uint64_t)run->loss_scale.exponent, run->loss_scale.good,
                                     (uint64_t)(int64_t)run->last_scale.mantissa, (uint64_t)(int64_t)run->last_scale.exponent,
                                     run->net.updates, fx_text_mark(run->config.update.rule->name)};
    memcpy(packed, values, sizeof values);
}

void fx_checkpoint_unpack(FxRun *run, const uint64_t packed[FX_CHECKPOINT_TOTALS]) {
    run->step = packed[0];
    run->images = packed[1];
    FxLossSum loss = {.images = packed[14]};
    memcpy(&loss.sum, &packed[12], sizeof loss.sum);
    memcpy(&loss.chunk, &packed[13], sizeof loss.chunk);
    run->totals = (FxTotals){packed[2], {packed[3] | (unsigned __int128)packed[4] << 64, packed[5], packed[6]}, loss, packed[7],
                             packed[8], packed[9], packed[11], packed[15], packed[16], packed[17]};
    run->loss_scale = (FxLossScale){(int64_t)packed[18], (int64_t)packed[19], packed[20]};
    run->last_scale = (FxScalar){(int32_t)packed[21], (int32_t)packed[22]};
    run->net.updates = packed[23];
    run->loss_exponent = (int)(int64_t)packed[10];
}

static FxTensor array64(void *data, size_t count) {
    return (FxTensor){data, FX_INT64, count, 0};
}

enum { PER_NODE = 7, PER_NORM = 4, KEPT_EXPONENTS = PER_NODE + 2 };

static int items_of(const FxNode *node) {
    return node->norm && node->layer.ops->role == FX_ROLE_NORM ? PER_NODE + PER_NORM : PER_NODE;
}

// The registered items in their order: totals, then for each node that keeps something its weights and what its sites have
// seen, and a norm's running statistics.
int fx_checkpoint_items(const FxRun *run) {
    int count = 1;
    for (int k = 0; k < run->net.keeper_count; k++)
        count += items_of(run->net.keepers[k]);
    return count;
}

// The node of an item behind the totals; *index becomes its place among that node's.
static FxNode *node_of(const FxRun *run, int *index, int *keeper) {
    *index -= 1;
    for (*keeper = 0; *index >= items_of(run->net.keepers[*keeper]); ++*keeper)
        *index -= items_of(run->net.keepers[*keeper]);
    return run->net.keepers[*keeper];
}

static Item item(FxRun *run, int index, uint64_t packed[FX_CHECKPOINT_TOTALS]) {
    Item out;
    int keeper;
    if (index == 0) {
        strcpy(out.name, "totals");
        out.data = array64(packed, FX_CHECKPOINT_TOTALS);
        return out;
    }
    FxNode *node = node_of(run, &index, &keeper);
    _Static_assert(sizeof(FxSiteState) % sizeof(uint64_t) == 0 && sizeof(FxAccumulatorCounts) % sizeof(uint64_t) == 0, "64-bit fields");
    static const char *const names[PER_NODE + PER_NORM] = {"weights", "sites", "sums", "live", "momentum", "second", "exponents",
                                                           "running.mean", "running.scale", "preact.exponents", "running"};
    snprintf(out.name, sizeof out.name, "%s.%s", node->name.name, names[index]);
    if (index >= PER_NODE) {
        FxNormNode *norm = node->norm;
        const FxTensor of_norm[PER_NORM] = {norm->running[0], norm->running[1], norm->x_kept,
                                            array64(norm->running_state, sizeof norm->running_state / sizeof(int64_t))};
        out.data = of_norm[index - PER_NODE];
        return out;
    }
    FxTensor parts[PER_NODE] = {
        node->store,
        array64(node->site, sizeof node->site / (sizeof(uint64_t))),
        array64(node->sums, sizeof node->sums / (sizeof(uint64_t))),
        array64(&node->live_activations, 2),
        node->momentum,
        node->second,
        {node->exponents, FX_INT32, 3, 0},
    };
    for (int i = 0; i < 3; i++) // where they move, the codes alone say nothing
        node->exponents[i] = (i == 0 ? &node->store : i == 1 ? &node->momentum : &node->second)->exponent;
    out.data = parts[index];
    return out;
}

// A file being written or read, with a CRC of all that passed.
typedef struct Stream {
    FILE *file;
    uLong crc;
    int failed;
} Stream;

static void write_bytes(Stream *s, const void *bytes, size_t n) {
    s->failed |= s->file && fwrite(bytes, 1, n, s->file) != n;
    s->crc = crc32(s->crc, bytes, (uInt)n);
}

static void write_number(Stream *s, uint64_t x, size_t bytes) {
    unsigned char b[8];
    fx_put_le(b, x, bytes);
    write_bytes(s, b, bytes);
}

static int read_bytes(Stream *s, void *bytes, size_t n) {
    if (s->failed || fread(bytes, 1, n, s->file) != n) {
        s->failed = 1;
        memset(bytes, 0, n);
        return -1;
    }
    s->crc = crc32(s->crc, bytes, (uInt)n);
    return 0;
}

static uint64_t read_number(Stream *s, size_t bytes) {
    unsigned char b[8] = {0};
    read_bytes(s, b, bytes);
    return fx_get_le(b, bytes);
}

// The elements of an item, little-endian, through a small buffer.
static void write_elements(Stream *s, const FxTensor *t) {
    unsigned char buffer[4096];
    size_t size = fx_type_size(t->type);
    for (size_t i = 0; i < t->count;) {
        size_t n = 0;
        for (; n + size <= sizeof buffer && i < t->count; n += size, i++)
            fx_put_le(buffer + n, fx_tensor_bits(t, i), size);
        write_bytes(s, buffer, n);
    }
}

static uLong elements_crc(const FxTensor *t) {
    Stream s = {NULL, crc32(0, NULL, 0), 0};
    write_elements(&s, t);
    return s.crc;
}

uint32_t fx_checkpoint_state_crc32(FxRun *run) {
    uint64_t packed[FX_CHECKPOINT_TOTALS];
    Stream s = {NULL, crc32(0, NULL, 0), 0};
    pack(run, packed);
    for (int i = 0; i < fx_checkpoint_items(run); i++) {
        Item it = item(run, i, packed);
        write_elements(&s, &it.data);
    }
    return (uint32_t)s.crc;
}

static void write_all(Stream *s, FxRun *run, const FxMark *mark) {
    uint64_t packed[FX_CHECKPOINT_TOTALS];
    pack(run, packed);
    write_bytes(s, magic, sizeof magic);
    write_number(s, VERSION, 4);
    write_number(s, run->config_crc32, 4);
    write_number(s, run->data.crc32, 4);
    write_number(s, FX_RESULTS_VERSION, 4);
    write_number(s, (uint64_t)mark->status, 4);
    write_number(s, mark->log_length, 8);
    write_number(s, mark->stats_length, 8);
    write_number(s, (uint64_t)fx_checkpoint_items(run), 4);
    for (int i = 0; i < fx_checkpoint_items(run); i++) {
        Item it = item(run, i, packed);
        size_t length = strlen(it.name);
        write_number(s, length, 4);
        write_bytes(s, it.name, length);
        write_number(s, (uint64_t)it.data.type, 4);
        write_number(s, it.data.count, 8);
        write_number(s, elements_crc(&it.data), 4);
        write_elements(s, &it.data);
    }
    write_number(s, strlen(run->recipe.overrides), 4);
    write_bytes(s, run->recipe.overrides, strlen(run->recipe.overrides));
    write_number(s, s->crc, 4);
}

int fx_checkpoint_paths(char out[3][FX_CHECKPOINT_PATH], const char *directory, FxError *err) {
    static const char *const names[] = {"checkpoint", "checkpoint.previous", "checkpoint.new"};
    for (int i = 0; i < 3; i++)
        if (snprintf(out[i], FX_CHECKPOINT_PATH, "%s/%s", directory, names[i]) >= FX_CHECKPOINT_PATH)
            return fx_fail(err, FX_EXIT_RUNTIME, "%s: the path is too long", directory);
    return 0;
}

static void sync_directory(const char *directory) {
    int fd = open(directory, O_RDONLY);
    if (fd >= 0) {
        fsync(fd);
        close(fd);
    }
}

int fx_checkpoint_write(FxRun *run, const char *directory, const FxMark *mark, FxError *err) {
    char path[3][FX_CHECKPOINT_PATH];
    if (fx_checkpoint_paths(path, directory, err))
        return -1;
    Stream s = {fopen(path[2], "wb"), crc32(0, NULL, 0), 0};
    if (!s.file)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path[2], strerror(errno));
    errno = 0;
    write_all(&s, run, mark);
    s.failed |= fflush(s.file) != 0 || fsync(fileno(s.file)) != 0;
    int why = errno;
    s.failed |= fclose(s.file) != 0;
    if (s.failed) {
        unlink(path[2]);
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s; the checkpoint before it is kept", path[2], strerror(why ? why : EIO));
    }
    if ((rename(path[0], path[1]) && errno != ENOENT) || rename(path[2], path[0]))
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be renamed: %s", path[0], strerror(errno));
    sync_directory(directory);
    return 0;
}

// The whole file against its CRC, before a byte of the run changes.
static int check_file(FILE *file, const char *path, FxError *err) {
    unsigned char buffer[1 << 16], last[4];
    uLong crc = crc32(0, NULL, 0);
    if (fseek(file, 0, SEEK_END))
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: %s", path, strerror(errno));
    long size = ftell(file);
    if (size < 48)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: %ld bytes are too few", path, size);
    rewind(file);
    for (long left = size - 4; left > 0;) {
        size_t n = left < (long)sizeof buffer ? (size_t)left : sizeof buffer;
        if (fread(buffer, 1, n, file) != n)
            return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: cannot be read", path);
        crc = crc32(crc, buffer, (uInt)n);
        left -= (long)n;
    }
    if (fread(last, 1, 4, file) != 4 || fx_get_le(last, 4) != crc)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: damaged: its CRC-32 is not that of its bytes", path);
    rewind(file);
    return 0;
}

static int read_header(Stream *s, const FxRun *run, FxMark *mark, bool fork, const char *path, FxError *err) {
    char head[sizeof magic];
    read_bytes(s, head, sizeof head);
    uint64_t version = read_number(s, 4), config = read_number(s, 4), data = read_number(s, 4), results = read_number(s, 4);
    mark->status = (FxStatus)read_number(s, 4);
    mark->log_length = read_number(s, 8);
    mark->stats_length = read_number(s, 8);
    uint64_t items = read_number(s, 4);
    if (memcmp(head, magic, sizeof magic) || version != VERSION)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: not a checkpoint of version %d", path, VERSION);
    if (!fork && config != run->config_crc32)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: made under another recipe (config_crc32 %08llx, now %08x); the file 'command' beside it says how it was started", path,
                       (unsigned long long)config, run->config_crc32);
    if (data != run->data.crc32)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: made with other data (CRC-32 %08llx, now %08x)", path,
                       (unsigned long long)data, run->data.crc32);
    if (results != FX_RESULTS_VERSION)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: made by results_version %llu, this program has %d", path,
                       (unsigned long long)results, FX_RESULTS_VERSION);
    if (mark->status > FX_STALLED)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: status %u; 0 to %d are known", path, (unsigned)mark->status, FX_STALLED);
    if (items != (uint64_t)fx_checkpoint_items(run))
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: holds %llu arrays, this run has %d", path, (unsigned long long)items,
                       fx_checkpoint_items(run));
    return 0;
}

static void read_elements(Stream *s, const FxTensor *t) {
    FxTensor bits = *t;
    bits.type = bits.type == FX_FLOAT32 ? FX_UINT32 : bits.type;
    size_t size = fx_type_size(bits.type);
    for (size_t i = 0; i < t->count; i++) {
        uint64_t x = read_number(s, size), sign = UINT64_C(1) << (8 * size - 1);
        if (bits.type != FX_UINT8 && bits.type != FX_UINT32 && size < 8 && (x & sign))
            x |= ~(sign * 2 - 1);
        fx_tensor_set(&bits, i, (int64_t)x);
    }
}

// foreign: receives the array whatever its type and count; NULL: others than the run's are an error.
static int read_item(Stream *s, const Item *it, FxForeign *foreign, const char *path, FxError *err) {
    char name[NAME] = "";
    uint64_t length = read_number(s, 4);
    if (length < NAME)
        read_bytes(s, name, length);
    uint64_t type = read_number(s, 4), count = read_number(s, 8);
    read_number(s, 4); // its own CRC: the file's has been checked
    bool same = !strcmp(name, it->name) && type == (uint64_t)it->data.type && count == it->data.count;
    if (same && !foreign) {
        read_elements(s, &it->data);
        return 0;
    }
    bool fits = foreign && !strcmp(name, it->name) && type <= FX_FLOAT32 && (count == it->data.count || !count || !it->data.count);
    if (!fits)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: \"%s\" of %llu where this run has %s of %zu", path, name,
                       (unsigned long long)count, it->name, it->data.count);
    foreign->data = (FxTensor){calloc(count ? count : 1, fx_type_size((FxType)type)), (FxType)type, count, 0};
    if (!foreign->data.data)
        return fx_fail_memory(err, path, count * fx_type_size((FxType)type));
    read_elements(s, &foreign->data);
    return 0;
}

static void take_exponents(FxRun *run) {
    for (int k = 0; k < run->net.keeper_count; k++) {
        FxNode *node = run->net.keepers[k];
        node->store.exponent = node->exponents[0];
        node->momentum.exponent = node->exponents[1];
        node->second.exponent = node->exponents[2];
    }
}

int fx_checkpoint_read_file(FxRun *run, const char *path, FxMark *mark, FxError *err) {
    uint64_t packed[FX_CHECKPOINT_TOTALS];
    Stream s = {fopen(path, "rb"), crc32(0, NULL, 0), 0};
    if (!s.file)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: %s", path, strerror(errno));
    int result = check_file(s.file, path, err) || read_header(&s, run, mark, false, path, err) ? -1 : 0;
    for (int i = 0; result == 0 && i < fx_checkpoint_items(run); i++) {
        Item it = item(run, i, packed);
        result = read_item(&s, &it, NULL, path, err);
    }
    char overrides[sizeof run->recipe.overrides] = "";
    uint64_t length = result == 0 ? read_number(&s, 4) : 0;
    if (length < sizeof overrides)
        read_bytes(&s, overrides, length);
    fclose(s.file);
    if (result == 0) {
        fx_checkpoint_unpack(run, packed);
        take_exponents(run);
        strcpy(run->recipe.overrides, overrides); // what it was started with stays in its rows
    }
    return result;
}

int fx_checkpoint_read(FxRun *run, const char *directory, FxMark *mark, int *found, FxWarnings *warnings, FxError *err) {
    char path[3][FX_CHECKPOINT_PATH];
    *found = 0;
    if (fx_checkpoint_paths(path, directory, err))
        return -1;
    FxError first = {0}, why = {0};
    for (int i = 0; i < 3; i++) {
        if (access(path[i], F_OK))
            continue;
        if (fx_checkpoint_read_file(run, path[i], mark, &why) == 0) {
            if (first.text[0])
                fx_warn(warnings, "%s; the one before it is used", first.text);
            *found = 1;
            return 0;
        }
        if (i == 2) // may have been cut off while it was written
            break;
        if (first.text[0])
            return fx_fail(err, FX_EXIT_CHECKPOINT, "%s; and %s", first.text, why.text);
        first = why;
    }
    if (first.text[0])
        *err = first;
    return first.text[0] ? -1 : 0;
}

int fx_checkpoint_read_foreign(FxRun *run, const char *path, uint64_t packed[FX_CHECKPOINT_TOTALS], FxForeign *foreign, FxError *err) {
    FxMark mark;
    Stream s = {fopen(path, "rb"), crc32(0, NULL, 0), 0};
    if (!s.file)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "checkpoint %s: %s", path, strerror(errno));
    int result = check_file(s.file, path, err) || read_header(&s, run, &mark, true, path, err) ? -1 : 0;
    for (int i = 0; result == 0 && i < fx_checkpoint_items(run); i++) {
        Item it = item(run, i, packed);
        int which = i, keeper = 0;
        const FxNode *node = i ? node_of(run, &which, &keeper) : NULL;
        FxForeign *place = i && (which == 0 || which == 4 || which == 5) ? &foreign[i - 1] : NULL;
        if (place)
            *place = (FxForeign){.keeper = keeper, .site = which == 0 ? node->store_site : which == 4 ? FX_SITE_MOMENTUM : FX_SITE_SECOND};
        FxForeign kept = {0}; // which this run may not have, or the other had not
        result = read_item(&s, &it, which == KEPT_EXPONENTS ? &kept : place, path, err);
        if (result == 0 && kept.data.count && kept.data.count == it.data.count)
            memcpy(it.data.data, kept.data.data, kept.data.count * sizeof(int32_t));
        free(kept.data.data);
    }
    fclose(s.file);
    return result;
}

long long fx_checkpoint_step(const char *path) {
    unsigned char bytes[8];
    enum { HEADER = 8 + 5 * 4 + 2 * 8 + 4, NAMED = 4 + 6 + 4 + 8 + 4 }; // the totals come first, the step first among them
    FILE *f = fopen(path, "rb");
    if (!f)
        return -1;
    int got = fseek(f, HEADER + NAMED, SEEK_SET) == 0 && fread(bytes, 1, 8, f) == 8;
    fclose(f);
    return got ? (long long)fx_get_le(bytes, 8) : -1;
}
