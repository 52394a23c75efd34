// libFuzzer: any text gives a net that keeps the header's promises, or one error line and nothing
// to free.
#include "sim/notation.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static void require(int holds) {
    if (!holds) abort();
}

static void require_number(int number, int least) {
    require(number == FX_NOTATION_ABSENT || (number >= least && number <= 65535));
}

// Upper case, digits at most between two of them.
static void require_letters(const char *letters) {
    size_t n = strlen(letters);
    require(strspn(letters, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == n);
    require(n == 0 || (letters[0] >= 'A' && letters[n - 1] >= 'A'));
}

static void require_item(const FxItem *item, int i, size_t size) {
    int sum = strcmp(item->letters, "+") == 0;
    require(memchr(item->letters, '\0', sizeof item->letters) != NULL);
    if (!sum) require_letters(item->letters);
    require_number(item->before, 1);
    require_number(item->after, 1);
    require_number(item->pad, 0);
    require_number(item->stride, 1);
    require(item->letters[0] || item->before != FX_NOTATION_ABSENT);
    require(item->column >= 1 && (size_t)item->column <= size);
    if (sum)
        require(item->input[0] == i - 1 || item->input[1] == i - 1);
    else
        require(item->block_start || item->input[0] == i - 1);
    require(item->input[0] >= FX_NOTATION_INPUT && item->input[0] < i);
    require(item->input[1] >= FX_NOTATION_INPUT && item->input[1] < i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    FxNotation net;
    FxError err = {.text = ""};
    char *text = malloc(size + 1);
    require(text != NULL);
    memcpy(text, data, size);
    text[size] = '\0';
    if (fx_notation_parse(&net, text, &err)) {
        require(err.exit_code == FX_EXIT_USAGE && strstr(err.text, ", column ") &&
                strchr(err.text, ';'));
        require(!strchr(err.text, '\n') && !net.items && !net.count);
    } else {
        require(net.count >= 1 && net.count <= 4096);
        for (int i = 0; i < net.count; i++) require_item(&net.items[i], i, size);
    }
    fx_notation_free(&net);
    free(text);
    return 0;
}
