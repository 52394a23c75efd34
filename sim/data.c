// Data sets: finds what a name means, lets the reader of that layout load it, and computes the
// checksum. `digits` is built in. The known public sets are looked for in /usr/share/datasets/NAME,
// where Debian's packages put them, and in $XDG_DATA_HOME/fxsim/NAME or ~/.local/share/fxsim/NAME,
// then as a directory of that name here. Every other name is a directory; which layout it has is
// told by the names of its files.
#include "sim/data_internal.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct KnownSet {
    const char *name, *how; // how to get it
} KnownSet;

static const KnownSet known_sets[] = {
    {"fashion-mnist",
     "apt-get install dataset-fashion-mnist, or scripts/get-data.sh fashion-mnist"},
    {"mnist", "scripts/get-data.sh mnist"},
    {"cifar10", "scripts/get-data.sh cifar10"},
};
enum { KNOWN_SETS = sizeof known_sets / sizeof known_sets[0] };

static const FxDataKind *const kinds[] = {&fx_data_idx, &fx_data_cifar, &fx_data_png};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static int fail_none(const char *dir, FxError *err) {
    char text[512] = "";
    for (int i = 0; i < KINDS; i++) {
        size_t used = strlen(text);
        snprintf(text + used, sizeof text - used, "%s%s (%s)", i ? "; " : "", kinds[i]->name,
                 kinds[i]->files);
    }
    return fx_fail(err, FX_EXIT_DATA, "%s: no data set in this directory; looked for %s", dir,
                   text);
}

static int load_directory(FxDataset *data, const char *dir, FxError *err) {
    DIR *handle = opendir(dir);
    if (!handle && errno != ENOENT && errno != ENOTDIR)
        return fx_data_fail_errno(dir, err);
    if (!handle)
        return fx_fail(err, FX_EXIT_DATA, "%s: %s; a directory with a data set is needed", dir,
                       strerror(errno));
    closedir(handle);
    const FxDataKind *kind = NULL;
    for (int i = 0; i < KINDS; i++) {
        int present = kinds[i]->present(dir, err);
        if (present < 0)
            return -1;
        if (present && kind)
            return fx_fail(err, FX_EXIT_DATA,
                           "%s: holds files of two kinds, %s (%s) and %s (%s); one is needed", dir,
                           kind->name, kind->files, kinds[i]->name, kinds[i]->files);
        if (present)
            kind = kinds[i];
    }
    return kind ? kind->load(data, dir, err) : fail_none(dir, err);
}

// 1: path is a directory; 0: not; -1: it cannot be told.
static int is_directory(const char *path, FxError *err) {
    struct stat st;
    int found = fx_data_stat(path, &st, err);
    return found > 0 ? S_ISDIR(st.st_mode) : found;
}

static int load_known(FxDataset *data, const KnownSet *set, FxError *err) {
    const char *xdg = getenv("XDG_DATA_HOME"), *home = getenv("HOME");
    char shared[64], own[FX_DATA_PATH] = "";
    snprintf(shared, sizeof shared, "/usr/share/datasets/%s", set->name);
    int length = 0;
    if (xdg && xdg[0] == '/') // the XDG specification: a relative path is ignored
        length = snprintf(own, sizeof own, "%s/fxsim/%s", xdg, set->name);
    else if (home && home[0])
        length = snprintf(own, sizeof own, "%s/.local/share/fxsim/%s", home, set->name);
    if (length < 0 || (size_t)length >= sizeof own)
        return fx_fail(err, FX_EXIT_DATA, "%s: the path of the user's data directory is too long",
                       set->name);
    const char *const places[] = {shared, own, set->name};
    for (int i = 0; i < 3; i++) {
        int found = is_directory(places[i], err);
        if (found < 0)
            return -1;
        if (found)
            return load_directory(data, places[i], err);
    }
    return fx_fail(err, FX_EXIT_DATA, "%s: not found in %s%s%s; to get it: %s", set->name, shared,
                   own[0] ? " or " : "", own, set->how);
}

static int load(FxDataset *data, const char *name, FxError *err) {
    if (strcmp(name, "digits") == 0)
        return fx_data_load_digits(data, err);
    char names[128] = "digits";
    for (int i = 0; i < KNOWN_SETS; i++) {
        if (strcmp(name, known_sets[i].name) == 0)
            return load_known(data, &known_sets[i], err);
        size_t used = strlen(names);
        snprintf(names + used, sizeof names - used, ", %s", known_sets[i].name);
    }
    if (!strchr(name, '/')) {
        struct stat st;
        int found = fx_data_stat(name, &st, err);
        if (found < 0)
            return -1;
        if (found == 0)
            return fx_fail(err, FX_EXIT_DATA, "%s: no such data set or directory; known names: %s",
                           name, names);
    }
    return load_directory(data, name, err);
}

static uint32_t checksum(const FxDataset *data) {
    const FxImages *const parts[] = {&data->train, &data->test};
    size_t size = (size_t)data->height * (size_t)data->width * (size_t)data->channels;
    uLong crc = crc32_z(0, NULL, 0);
    for (int i = 0; i < 2; i++) {
        crc = crc32_z(crc, parts[i]->pixels, parts[i]->count * size);
        crc = crc32_z(crc, parts[i]->labels, parts[i]->count);
    }
    return (uint32_t)crc;
}

int fx_dataset_load(FxDataset *data, const char *name, FxError *err) {
    *data = (FxDataset){0};
    if (strlen(name) >= sizeof data->name)
        return fx_fail(err, FX_EXIT_DATA, "%.100s...: name of a data set longer than %zu bytes",
                       name, sizeof data->name - 1);
    strcpy(data->name, name);
    if (load(data, name, err) != 0) {
        fx_dataset_free(data);
        for (char *c = err->text; *c; c++) // file names may hold anything; an error is one line
            if ((unsigned char)*c < ' ' || *c == 0x7f)
                *c = '?';
        return -1;
    }
    data->crc32 = checksum(data);
    return 0;
}

void fx_dataset_free(FxDataset *data) {
    free(data->train.pixels);
    free(data->train.labels);
    free(data->test.pixels);
    free(data->test.labels);
    *data = (FxDataset){0};
}
