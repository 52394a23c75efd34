// Softmax cross-entropy on integers: the table form of our own and NITI's powers of two. Nothing is rounded twice.
#include "layers/loss.h"

#include <assert.h>

static int plan(FxLayer *l, const char *what, FxError *err) {
    if (l->kernel >= 0 || l->pad >= 0 || l->stride >= 0)
        return fx_fail(err, FX_EXIT_USAGE, "%s: write the number of classes alone, as 10SMX", what);
    l->out = l->in;
    return 0;
}

// 2^30 * 2^(-i / 256) to nearest.
static const int32_t table[257] = {
    1073741824, 1070838486, 1067942999, 1065055341, 1062175491, 1059303428, 1056439131, 1053582579, 1050733751, 1047892626,
    1045059183, 1042233401, 1039415261, 1036604740, 1033801819, 1031006477, 1028218693, 1025438448, 1022665720, 1019900489,
    1017142735, 1014392438, 1011649578, 1008914134, 1006186087, 1003465416, 1000752102, 998046124, 995347464, 992656100,
    989972014, 987295185, 984625594, 981963222, 979308048, 976660054, 974019220, 971385527, 968758955, 966139485,
    963527098, 960921775, 958323496, 955732243, 953147997, 950570738, 948000448, 945437108, 942880699, 940331203,
    937788600, 935252872, 932724001, 930201967, 927686753, 925178340, 922676710, 920181844, 917693724, 915212331,
    912737649, 910269657, 907808339, 905353676, 902905651, 900464244, 898029440, 895601218, 893179563, 890764456,
    888355878, 885953814, 883558244, 881169153, 878786521, 876410331, 874040567, 871677210, 869320244, 866969651,
    864625413, 862287515, 859955938, 857630665, 855311680, 852998965, 850692504, 848392279, 846098274, 843810471,
    841528855, 839253408, 836984114, 834720956, 832463917, 830212982, 827968132, 825729353, 823496627, 821269938,
    819049271, 816834607, 814625932, 812423229, 810226483, 808035676, 805850792, 803671817, 801498734, 799331526,
    797170178, 795014675, 792865000, 790721137, 788583072, 786450787, 784324269, 782203500, 780088465, 777979150,
    775875538, 773777614, 771685363, 769598769, 767517817, 765442492, 763372778, 761308661, 759250125, 757197155,
    755149737, 753107854, 751071493, 749040637, 747015274, 744995386, 742980960, 740971982, 738968435, 736970306,
    734977579, 732990241, 731008277, 729031671, 727060411, 725094480, 723133865, 721178552, 719228525, 717283772,
    715344277, 713410026, 711481005, 709557200, 707638598, 705725183, 703816941, 701913860, 700015924, 698123120,
    696235434, 694352853, 692475362, 690602947, 688735596, 686873293, 685016026, 683163781, 681316545, 679474303,
    677637043, 675804750, 673977412, 672155015, 670337545, 668524990, 666717336, 664914570, 663116678, 661323648,
    659535466, 657752119, 655973594, 654199878, 652430958, 650666822, 648907455, 647152846, 645402981, 643657847,
    641917433, 640181724, 638450708, 636724373, 635002706, 633285695, 631573326, 629865587, 628162466, 626463950,
    624770026, 623080683, 621395908, 619715688, 618040012, 616368866, 614702239, 613040119, 611382493, 609729349,
    608080675, 606436459, 604796689, 603161352, 601530438, 599903933, 598281827, 596664106, 595050760, 593441776,
    591837143, 590236848, 588640881, 587049229, 585461881, 583878825, 582300049, 580725543, 579155293, 577589290,
    576027521, 574469975, 572916640, 571367506, 569822560, 568281792, 566745190, 565212742, 563684439, 562160268,
    560640218, 559124278, 557612438, 556104685, 554601009, 553101399, 551605844, 550114332, 548626854, 547143398,
    545663953, 544188508, 542717053, 541249576, 539786068, 538326517, 536870912,
};

// d * log2 e * 2^exponent in units of 2^-16, nearest-even, at most 2^40. 94548 = 2^16 * log2 e to nearest.
static uint64_t power(uint64_t d, int exponent) {
    const uint64_t most = UINT64_C(1) << 40;
    unsigned __int128 x = (unsigned __int128)d * 94548, q;
    if (exponent >= 0)
        return d == 0 ? 0 : exponent > 40 || x > most >> exponent ? most : (uint64_t)x << exponent;
    int s = -exponent;
    if (s > 90) // x < 2^81: less than half
        return 0;
    unsigned __int128 half = (unsigned __int128)1 << (s - 1), rest = x & (2 * half - 1);
    q = x >> s;
    q += rest > half || (rest == half && (q & 1));
    return q > most ? most : (uint64_t)q;
}

// 2^30 * 2^(-t / 2^16)
static int64_t power_of_half(uint64_t t) {
    uint64_t n = t >> 16;
    int32_t i = (int32_t)(t >> 8 & 255), low = (int32_t)(t & 255);
    return n > 30 ? 0 : (table[i] - (((table[i] - table[i + 1]) * low + 128) >> 8)) >> n;
}

static int64_t largest(const FxTensor *t, size_t first, int n) {
    int64_t top = fx_tensor_get(t, first);
    for (int c = 1; c < n; c++) {
        int64_t z = fx_tensor_get(t, first + (size_t)c);
        top = z > top ? z : top;
    }
    return top;
}

void fx_softmax(const FxTensor *out, const uint8_t *labels, int classes, const FxTensor *e, FxAnswers *answers) {
    size_t n = out->count / (size_t)classes;
    assert(out->count == n * (size_t)classes && (!e || e->count == out->count));
    for (size_t i = 0; e && i < n; i++) {
        size_t first = i * (size_t)classes;
        int64_t top = largest(out, first, classes), sum = 0;
        for (size_t at = first; at < first + (size_t)classes; at++) {
            int64_t v = power_of_half(power((uint64_t)top - (uint64_t)fx_tensor_get(out, at), out->exponent));
            fx_tensor_set(e, at, v); // at most 2^30
            sum += v;
        }
        for (int c = 0; c < classes; c++) {
            size_t at = first + (size_t)c;
            int64_t p = (2 * (fx_tensor_get(e, at) << 15) + sum) / (2 * sum);
            fx_tensor_set(e, at, p - (c == labels[i] ? 32768 : 0));
        }
    }
    fx_answers_count(out, labels, classes, answers);
}

// NITI's s at exponents above -7. Past an exponent of 20 distinct codes are so far apart that nothing changes any more.
static int64_t niti_logit(int64_t code, int exponent) {
    int64_t s = code * 47274 >> 15;
    return exponent < 0 ? s >> -exponent : s * (INT64_C(1) << (exponent < 20 ? exponent : 20));
}

// NITI's v. Below an exponent of -40 p is what it is there: 8-bit codes cannot change a quotient's floor any more.
static __int128 niti_weight(int64_t code, int64_t top, int exponent) {
    if (exponent > -7) {
        int64_t s = niti_logit(code, exponent) - (niti_logit(top, exponent) - 10);
        return ((__int128)1 << (s > 0 ? s : 0)) - 1;
    }
    int x = exponent < -40 ? 40 : -exponent;
    return ((__int128)1 << (2 * x + 1)) + code * ((__int128)1 << (x + 1)) + code * code;
}

void fx_softmax_niti(const FxTensor *out, const uint8_t *labels, int classes, const FxTensor *e, FxAnswers *answers) {
    size_t n = out->count / (size_t)classes;
    assert(out->count == n * (size_t)classes && (!e || e->count == out->count) && out->type == FX_INT8);
    for (size_t i = 0; e && i < n; i++) {
        size_t first = i * (size_t)classes;
        int64_t top = largest(out, first, classes), given = 0;
        __int128 sum = 0;
        for (int c = 0; c < classes; c++)
            sum += niti_weight(fx_tensor_get(out, first + (size_t)c), top, out->exponent);
        for (int c = 0; c < classes; c++) {
            size_t at = first + (size_t)c;
            int64_t p = (int64_t)(niti_weight(fx_tensor_get(out, at), top, out->exponent) * 2048 / sum);
            fx_tensor_set(e, at, p);
            given += p;
        }
        size_t label = first + labels[i];
        fx_tensor_set(e, label, fx_tensor_get(e, label) - given);
    }
    fx_answers_count(out, labels, classes, answers);
}

const FxLayerOps fx_softmax_ops = {"SMX", "softmax", FX_ROLE_LOSS, true, "nSMX: n outputs, softmax cross-entropy", plan, NULL, NULL, NULL, NULL};
const FxLayerOps fx_niti_ops = {"NITI", "niti", FX_ROLE_LOSS, true, "nNITI: n outputs, NITI's cross-entropy of 8-bit codes", plan, NULL, NULL, NULL, NULL};
