// The recipes of sim/recipes, made part of the program when it is built.
#ifndef FX_BUILTIN_H
#define FX_BUILTIN_H

typedef struct FxBuiltin {
    const char *name, *text;
} FxBuiltin;

extern const FxBuiltin fx_builtin_recipes[]; // ends with a NULL name

#endif
