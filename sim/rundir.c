#include "sim/rundir.h"

#include "sim/log.h"
#include "sim/text.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

// command last: while it is there, what is left is a run's.
static const char *const own_files[] = {"recipe.ini", "log.csv", "stats.csv", "last.csv", "parent", "checkpoint", "checkpoint.previous", "checkpoint.new",
                                        "recipe.ini.new", "parent.new", "command.new", "command"};
enum { OWN_FILES = sizeof own_files / sizeof own_files[0], PATH = FX_DIRECTORY + 64 };

static void join(char out[PATH], const FxRunDir *dir, const char *name) {
    snprintf(out, PATH, "%s/%s", dir->path, name);
}

static int make_directories(const char *path, FxError *err) {
    char part[FX_DIRECTORY];
    snprintf(part, sizeof part, "%s", path);
    for (char *p = part + 1;; p++) {
        if (*p && *p != '/')
            continue;
        char saved = *p;
        *p = 0;
        if (mkdir(part, 0777) && errno != EEXIST)
            return fx_fail(err, FX_EXIT_RUNTIME, "--out %s: %s cannot be made: %s", path, part, strerror(errno));
        *p = saved;
        if (!saved)
            break;
    }
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode))
        return fx_fail(err, FX_EXIT_RUNTIME, "--out %s: not a directory", path);
    return 0;
}

// A lock of the operating system: it goes when the process does, however it ends.
static int take_lock(FxRunDir *dir, FxError *err) {
    char path[PATH], text[64] = "";
    join(path, dir, "lock");
    dir->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (dir->lock < 0)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno));
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if (fcntl(dir->lock, F_SETLK, &whole)) {
        ssize_t n = read(dir->lock, text, sizeof text - 1);
        text[n > 0 ? n : 0] = 0;
        text[strcspn(text, "\n")] = 0;
        close(dir->lock);
        dir->lock = -1;
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: another process (%s) writes this run", dir->path, text[0] ? text : "unknown");
    }
    struct stat locked, there; // whoever held it may have ended, and deleted it, between open and fcntl
    if (fstat(dir->lock, &locked) || stat(path, &there) || locked.st_ino != there.st_ino) {
        close(dir->lock);
        dir->lock = -1;
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: another process wrote this run until now; try again", dir->path);
    }
    int n = snprintf(text, sizeof text, "pid %ld\n", (long)getpid());
    if (ftruncate(dir->lock, 0) || pwrite(dir->lock, text, (size_t)n, 0) != n)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be written: %s", path, strerror(errno));
    return 0;
}

static int is_empty(const char *path) {
    DIR *d = opendir(path);
    int files = 0;
    if (!d)
        return 1;
    for (struct dirent *e; (e = readdir(d));)
        files += strcmp(e->d_name, ".") && strcmp(e->d_name, "..") && strcmp(e->d_name, "lock") &&
                 strcmp(e->d_name, "command.new");
    closedir(d);
    return files == 0;
}

// A run is told by its command, the first file to be written: nobody else's recipe.ini or log.csv is taken for one.
static bool holds_run(const FxRunDir *dir) {
    static const char start[] = "fxsim train";
    char path[PATH], text[sizeof start] = "";
    join(path, dir, "command");
    FILE *f = fopen(path, "rb");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof start - 1, f);
    fclose(f);
    return n == sizeof start - 1 && !strcmp(text, start);
}

int fx_rundir_open(FxRunDir *dir, const char *path, FxExisting existing, FxError *err) {
    memset(dir, 0, sizeof *dir);
    dir->lock = -1;
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    if (length == 0 || length >= FX_DIRECTORY - 1)
        return fx_fail(err, FX_EXIT_USAGE, "--out \"%.80s\": a path of 1 to %d characters is needed", path, FX_DIRECTORY - 2);
    memcpy(dir->path, path, length);
    const char *name = strrchr(dir->path, '/');
    fx_cell(dir->run_id, sizeof dir->run_id, name && name[1] ? name + 1 : dir->path);
    bool present = holds_run(dir), empty = present || is_empty(dir->path);
    if (existing == FX_EXISTING_REFUSE && present)
        return fx_fail(err, FX_EXIT_USAGE, "--out %s: a run is there; --resume continues it, --force deletes it, another --out "
                       "leaves it", dir->path);
    if (existing == FX_EXISTING_RESUME && !present)
        return fx_fail(err, FX_EXIT_USAGE, "--resume: no run in %s; --resume=auto also starts one", dir->path);
    if (!empty)
        return fx_fail(err, FX_EXIT_USAGE, "--out %s: holds files but no run; nothing in it is deleted or replaced", dir->path);
    if (make_directories(dir->path, err) || take_lock(dir, err))
        return -1;
    dir->existed = existing != FX_EXISTING_FORCE && existing != FX_EXISTING_REFUSE && holds_run(dir);
    for (int i = 0; existing == FX_EXISTING_FORCE && i < OWN_FILES; i++) {
        char file[PATH];
        join(file, dir, own_files[i]);
        unlink(file);
    }
    return 0;
}

void fx_rundir_close(FxRunDir *dir) {
    char path[PATH];
    if (dir->log)
        fclose(dir->log);
    if (dir->stats)
        fclose(dir->stats);
    if (dir->lock >= 0) {
        join(path, dir, "lock");
        unlink(path);
        close(dir->lock);
    }
    memset(dir, 0, sizeof *dir);
    dir->lock = -1;
}

bool fx_rundir_is_written(const char *path) {
    char file[PATH];
    if (snprintf(file, sizeof file, "%s/lock", path) >= PATH)
        return false;
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET}; // asks only: nothing is taken
    bool held = fcntl(fd, F_GETLK, &whole) == 0 && whole.l_type != F_UNLCK;
    close(fd);
    return held;
}

int fx_rundir_write(const FxRunDir *dir, const char *name, const char *text, FxError *err) {
    char path[PATH], temporary[PATH + 8];
    join(path, dir, name);
    snprintf(temporary, sizeof temporary, "%s.new", path);
    FILE *f = fopen(temporary, "wb");
    if (!f)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", temporary, strerror(errno));
    int failed = fputs(text, f) < 0;
    failed |= fflush(f) != 0 || fsync(fileno(f)) != 0;
    int why = errno;
    failed |= fclose(f) != 0;
    if (failed || rename(temporary, path)) {
        unlink(temporary);
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be written: %s", path, strerror(why ? why : EIO));
    }
    return 0;
}

FILE *fx_rundir_create(const FxRunDir *dir, const char *name, FxError *err) {
    char path[PATH];
    join(path, dir, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno));
    return f;
}

static int open_csv(FILE **file, const FxRunDir *dir, const char *name, uint64_t length, const char *header, FxError *err) {
    char path[PATH];
    struct stat st;
    join(path, dir, name);
    *file = fopen(path, length ? "r+b" : "wb");
    if (!*file)
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno));
    if (length == 0)
        return fprintf(*file, "%s\n", header) < 0 || fflush(*file) ? fx_fail(err, FX_EXIT_RUNTIME, "%s: cannot be written: %s", path, strerror(errno)) : 0;
    if (fstat(fileno(*file), &st) || (uint64_t)st.st_size < length)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "%s: shorter than when the checkpoint was made (%llu bytes)", path, (unsigned long long)length);
    if (ftruncate(fileno(*file), (off_t)length) || fseek(*file, 0, SEEK_END))
        return fx_fail(err, FX_EXIT_RUNTIME, "%s: %s", path, strerror(errno));
    return 0;
}

int fx_rundir_check_start(const FxRunDir *dir, FxError *err) {
    char path[PATH];
    int lines = 0;
    join(path, dir, "parent");
    if (access(path, F_OK) == 0)
        return fx_fail(err, FX_EXIT_CHECKPOINT, "%s: began from other weights and was cut before its first checkpoint; start it again as the file 'command' "
                       "says, with --force", dir->path);
    join(path, dir, "log.csv");
    FILE *f = fopen(path, "rb");
    for (int c; f && (c = getc(f)) != EOF;)
        lines += c == '\n';
    if (f)
        fclose(f);
    if (lines <= 2)
        return 0;
    return fx_fail(err, FX_EXIT_CHECKPOINT, "%s: log.csv has %d rows, but there is no checkpoint to go on from; --force deletes them",
                   dir->path, lines - 1);
}

int fx_rundir_open_csv(FxRunDir *dir, uint64_t log_length, uint64_t stats_length, FxError *err) {
    return open_csv(&dir->log, dir, "log.csv", log_length, fx_log_header, err) ||
           open_csv(&dir->stats, dir, "stats.csv", stats_length, fx_stats_header, err) ? -1 : 0;
}

static int sync_one(FILE *file, const char *name, const FxRunDir *dir, uint64_t *length, FxError *err) {
    if (fflush(file) || fsync(fileno(file)) || ferror(file))
        return fx_fail(err, FX_EXIT_RUNTIME, "%s/%s: cannot be written: %s", dir->path, name, strerror(errno));
    *length = (uint64_t)ftell(file);
    return 0;
}

int fx_rundir_sync(FxRunDir *dir, uint64_t *log_length, uint64_t *stats_length, FxError *err) {
    return sync_one(dir->log, "log.csv", dir, log_length, err) || sync_one(dir->stats, "stats.csv", dir, stats_length, err) ? -1 : 0;
}
