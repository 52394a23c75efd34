// fxsim watch: how far a run, or every run of a sweep, has come.
#include "sim/command.h"
#include "sim/run_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 512, ROWS_OF_RATE = 5 };

void fx_usage_watch(FILE *out) {
    fprintf(out,
            "RUNDIR: a run's directory; SWEEPDIR: one with sweep.csv, then a line a run and one for all. On a terminal the lines are\n"
            "redrawn until nothing is left to wait for, or Ctrl-C; elsewhere they are printed once.\n\n"
            "  --every SECONDS      between two looks, 0.1 to 3600, by default 2\n"
            "  --once               print once on a terminal, too\n\n"
            "A run is running if a process holds its lock, cut if its log says running but no process writes it (fxsim train --resume\n"
            "goes on), waiting if it has not begun. Time left: the epochs of recipe.ini at the pace of the last %d rows.\n", ROWS_OF_RATE);
}

// How far a run is. NaN: not known.
typedef struct Progress {
    double epochs;         // wanted
    double seconds_left;   // of one process; 0 where it has ended
    double seconds_whole;  // what the whole run takes
} Progress;

static bool is_trained(const FxCsv *log, int row) { // not row 0, nor the one that says stopped before a step
    return *fx_csv_cell(log, row, "train_error") != 0;
}

// Updates an epoch, from a row at the end of one.
static double steps_per_epoch(const FxCsv *log) {
    for (int row = 0; row < log->rows; row++) {
        double epoch = fx_csv_number(log, row, "epoch");
        if (is_trained(log, row) && epoch >= 1 && !strcmp(fx_csv_cell(log, row, "status"), "running"))
            return fx_csv_number(log, row, "step") / epoch;
    }
    return NAN;
}

// Seconds a step over the last rows.
static double pace(const FxCsv *log) {
    double seconds = 0;
    int row = log->rows - 1, first = row - ROWS_OF_RATE;
    for (; row > 0 && row > first && is_trained(log, row); row--)
        seconds += fx_csv_number(log, row, "time_s");
    double steps = fx_csv_number(log, -1, "step") - fx_csv_number(log, row, "step");
    return steps > 0 ? seconds / steps : NAN;
}

static bool has_ended(FxRunState state) {
    return state == FX_STATE_DONE || fx_run_state_failed(state);
}

static Progress progress_of(FxRunLog *run) {
    Progress p = {NAN, NAN, NAN};
    double most = 0;
    if (run->has_recipe) {
        p.epochs = (double)fx_recipe_number(&run->recipe, "run.epochs");
        most = (double)fx_recipe_number(&run->recipe, "run.max-steps");
    }
    double total = p.epochs * steps_per_epoch(&run->log), done = fx_csv_number(&run->log, -1, "step");
    if (most > 0 && !(total <= most))
        total = most;
    p.seconds_left = has_ended(run->state) ? 0 : fmax(total - done, 0) * pace(&run->log);
    if (isnan(total) || isnan(done))
        p.seconds_left = has_ended(run->state) ? 0 : NAN;
    p.seconds_whole = run->log.rows ? fx_run_log_seconds(run) + p.seconds_left : NAN;
    return p;
}

// "45 s", "12 min", "3.5 h", "2.1 d"
static void time_text(char text[24], double seconds) {
    if (isnan(seconds))
        strcpy(text, "-");
    else if (seconds < 90)
        snprintf(text, 24, "%.0f s", seconds);
    else if (seconds < 90 * 60)
        snprintf(text, 24, "%.0f min", seconds / 60);
    else if (seconds < 36 * 3600)
        snprintf(text, 24, "%.1f h", seconds / 3600);
    else
        snprintf(text, 24, "%.1f d", fmin(seconds / 86400, 1e6));
}

// The last figure of a column that is not empty; NaN: none.
static double last_number(const FxCsv *log, const char *column) {
    double x = NAN;
    for (int row = log->rows; isnan(x) && row-- > 0;)
        x = fx_csv_number(log, row, column);
    return x;
}

static const char *state_name(FxRunState state) {
    return state == FX_STATE_MISSING ? "waiting" : fx_run_state_name(state);
}

static void run_line(char line[LINE], FxRunLog *run, const Progress *p, int name_width) {
    char error[24] = "-", speed[24] = "-", left[24] = "", epoch[48];
    double test = last_number(&run->log, "test_error"), images = last_number(&run->log, "images_per_s");
    const char *at = fx_csv_cell(&run->log, -1, "epoch");
    if (!isnan(test))
        snprintf(error, sizeof error, "%.2f %%", 100 * test);
    if (images > 0)
        snprintf(speed, sizeof speed, "%.0f", images);
    if (isnan(p->epochs))
        snprintf(epoch, sizeof epoch, "%.12s", *at ? at : "-");
    else
        snprintf(epoch, sizeof epoch, "%.12s of %.0f", *at ? at : "-", p->epochs);
    if (!has_ended(run->state))
        time_text(left, p->seconds_left);
    int n = snprintf(line, LINE, "%-*.*s  %-8s  epoch %-12s  test error %8s  %8s images/s%s%s%s", name_width, name_width, fx_run_log_name(run),
                     state_name(run->state), epoch, error, speed, left[0] ? "  " : "", left, left[0] ? " left" : "");
    for (int i = 0; i < n && i < LINE - 1; i++)
        line[i] = (unsigned char)line[i] < ' ' || line[i] == 127 ? '?' : line[i];
}

// What is left of a sweep, shared by the runs that run now; what has not begun is taken for the mean of the others.
static double sweep_left(const FxRunLogs *logs, const Progress *p) {
    double known = 0, sum = 0, left = 0;
    int running = 0;
    for (int i = 0; i < logs->count; i++) {
        running += logs->run[i].state == FX_STATE_RUNNING;
        if (!isnan(p[i].seconds_whole) && !fx_run_state_failed(logs->run[i].state)) {
            known++;
            sum += p[i].seconds_whole;
        }
    }
    for (int i = 0; i < logs->count; i++)
        left += isnan(p[i].seconds_left) ? sum / known : p[i].seconds_left; // NaN where nothing is known
    return left / (running ? running : 1);
}

static void summary_line(char line[LINE], const FxRunLogs *logs, const Progress *p) {
    int count[FX_STATES] = {0}, failed = 0;
    char left[24];
    for (int i = 0; i < logs->count; i++) {
        count[logs->run[i].state]++;
        failed += fx_run_state_failed(logs->run[i].state);
    }
    time_text(left, sweep_left(logs, p));
    int used = snprintf(line, LINE, "%d runs: %d done, %d running, %d failed, %d waiting", logs->count, count[FX_STATE_DONE],
                        count[FX_STATE_RUNNING], failed, count[FX_STATE_MISSING]);
    if (count[FX_STATE_CUT] + count[FX_STATE_STOPPED])
        used += snprintf(line + used, (size_t)(LINE - used), ", %d to be resumed", count[FX_STATE_CUT] + count[FX_STATE_STOPPED]);
    if (count[FX_STATE_DONE] + failed < logs->count)
        snprintf(line + used, (size_t)(LINE - used), "; about %s left", left);
}

static void screen_size(int *rows, int *columns) {
    struct winsize size;
    bool known = ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_row > 2 && size.ws_col > 10;
    *rows = known ? size.ws_row : 24;
    *columns = known ? size.ws_col : 80;
}

// Prints a line, on a terminal cut to its width, so that the cursor finds back.
static void put_line(const char *line, bool redraw, int columns) {
    if (redraw)
        printf("%.*s\033[K\n", columns - 1, line);
    else
        puts(line);
}

// Lines printed. On a terminal at most one less than fit: runs that have ended make room first.
static int show(FxRunLogs *logs, const Progress *p, bool sweep, bool redraw) {
    int rows = 0, columns = 0, width = 0, printed = 0, hidden = 0;
    char line[LINE];
    screen_size(&rows, &columns);
    for (int i = 0; i < logs->count; i++) {
        int n = (int)strlen(fx_run_log_name(&logs->run[i]));
        width = n > width ? n : width;
    }
    width = width > 60 ? 60 : width;
    bool crowded = redraw && logs->count + sweep >= rows;
    for (int i = 0; i < logs->count; i++) {
        if (crowded && (has_ended(logs->run[i].state) || printed >= rows - 3)) {
            hidden++;
            continue;
        }
        run_line(line, &logs->run[i], &p[i], width);
        put_line(line, redraw, columns);
        printed++;
    }
    if (hidden) {
        snprintf(line, sizeof line, "... and %d more", hidden);
        put_line(line, redraw, columns);
    }
    if (sweep) {
        summary_line(line, logs, p);
        put_line(line, redraw, columns);
    }
    return printed + (hidden > 0) + sweep;
}

// A look; *lines are those on the screen to be drawn over, then those that stand there. Returns 1: nothing to wait for.
static int look(const char *path, bool redraw, int *lines, FxError *err) {
    FxRunLogs logs = {0};
    bool sweep = false, waits = false;
    if (fx_run_logs_add(&logs, path, &sweep, err)) {
        fx_run_logs_free(&logs);
        return -1;
    }
    Progress *p = malloc((size_t)(logs.count + 1) * sizeof *p);
    if (!p) {
        fx_run_logs_free(&logs);
        return fx_fail_memory(err, "watch", (size_t)logs.count * sizeof *p);
    }
    for (int i = 0; i < logs.count; i++) {
        p[i] = progress_of(&logs.run[i]);
        waits |= logs.run[i].state == FX_STATE_RUNNING || (sweep && logs.run[i].state == FX_STATE_MISSING);
    }
    if (!sweep && logs.run[0].state == FX_STATE_MISSING && !logs.run[0].has_log && !logs.run[0].has_recipe) {
        fx_run_logs_free(&logs);
        free(p);
        return fx_fail(err, FX_EXIT_USAGE, "watch: %s: no run and no sweep.csv is there", path);
    }
    if (redraw && *lines)
        printf("\033[%dA\033[J", *lines);
    *lines = show(&logs, p, sweep, redraw);
    fflush(stdout);
    fx_run_logs_free(&logs);
    free(p);
    return !waits;
}

static int read_every(double *every, const char *text, FxError *err) {
    FxDecimal d;
    char *end;
    *every = text ? strtod(text, &end) : NAN;
    if (!text || fx_decimal_parse(&d, text) || !(*every >= 0.1) || *every > 3600)
        return fx_fail(err, FX_EXIT_USAGE, "--every \"%.40s\": seconds from 0.1 to 3600 are needed", text ? text : "");
    return 0;
}

int fx_command_watch(int argc, char **argv, FxExit *exit_code, FxError *err) {
    const char *path = NULL;
    double every = 2;
    bool once = false;
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--once")) {
            once = true;
        } else if (!strcmp(argv[i], "--every") || !strncmp(argv[i], "--every=", 8)) {
            if (read_every(&every, argv[i][7] ? argv[i] + 8 : i + 1 < argc ? argv[++i] : NULL, err))
                return -1;
        } else if (argv[i][0] == '-') {
            return fx_fail(err, FX_EXIT_USAGE, "watch: no option %s; known: --every --once", argv[i]);
        } else if (path) {
            return fx_fail(err, FX_EXIT_USAGE, "watch: \"%s\" behind %s: one run or sweep at a time", argv[i], path);
        } else {
            path = argv[i];
        }
    }
    if (!path)
        return fx_fail(err, FX_EXIT_USAGE, "watch: a run's or a sweep's directory is missing, as in: fxsim watch runs/wage-s1");
    bool redraw = !once && isatty(STDOUT_FILENO);
    int lines = 0, result;
    while ((result = look(path, redraw, &lines, err)) == 0 && redraw) {
        struct timespec wait = {(time_t)every, (long)(1e9 * (every - floor(every)))};
        nanosleep(&wait, NULL);
    }
    *exit_code = FX_EXIT_DONE;
    return result < 0 ? -1 : 0;
}
