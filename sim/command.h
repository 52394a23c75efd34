// The command line: one line of fx_commands a command.
#ifndef FX_COMMAND_H
#define FX_COMMAND_H

#include "formats/decimal.h"
#include "formats/number.h"
#include "sim/rundir.h"
#include "sim/run.h"

#include <signal.h>

typedef struct FxCommand {
    const char *name, *arguments, *help;
    int (*run)(int argc, char **argv, FxExit *exit_code, FxError *err); // argv[0] is the command's name
    void (*usage)(FILE *out);                                           // what stands below the first line of --help
} FxCommand;

extern const FxCommand fx_commands[]; // ends with a NULL name

int fx_command_train(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_eval(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_explain(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_stats(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_dump(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_check(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_compare(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_watch(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_formats(int argc, char **argv, FxExit *exit_code, FxError *err);
int fx_command_quantize(int argc, char **argv, FxExit *exit_code, FxError *err);
void fx_usage_train(FILE *out);
void fx_usage_eval(FILE *out);
void fx_usage_explain(FILE *out);
void fx_usage_stats(FILE *out);
void fx_usage_dump(FILE *out);
void fx_usage_check(FILE *out);
void fx_usage_compare(FILE *out);
void fx_usage_watch(FILE *out);
void fx_usage_formats(FILE *out);
void fx_usage_quantize(FILE *out);

enum { FX_VALUE_TEXT = 40 };
// A number as formats and quantize write it: C99 hexadecimal; the shortest decimal that a float64 reads back, without
// an exponent where an integer is below 10^16 (numbers that are no float64 stay hexadecimal). inf, -inf, nan.
void fx_value_hex(char text[FX_VALUE_TEXT], FxNumber x);
void fx_value_decimal(char text[FX_VALUE_TEXT], FxNumber x);

// What commands that take a recipe understand: RECIPE, every key of [run] as --key value, -s section.key=value and
// --stretch; words left over are the command's own.
typedef struct FxOptions {
    const char *recipe_name;
    FxRecipe recipe;
    FxDecimal stretch; // digits = 0: none; the recipe is stretched already
    const char *out;
    FxExisting existing;
    const char *checkpoint; // eval
    const char *fork;       // train: RUN@STEP
    const char *weights;    // train: .npz or directory
    bool diff;              // explain
} FxOptions;

// extra: options of the command beside the common ones, a string of "out resume force fork weights checkpoint diff". Errors: exit 2.
int fx_options_read(FxOptions *options, int argc, char **argv, const char *extra, FxError *err);
void fx_options_free(FxOptions *options);
void fx_usage_options(FILE *out);

#endif
