/* Evaluates a compiled program (automl.predictor.program): derived columns, trees, additive models, links.
 *
 * A node is two words: the bits of a threshold, and `feature | delta << shift`. A row goes on to node + delta, or to the one
 * behind it where `!(value <= threshold)`, so that no branch depends on data. A leaf has delta 0 and tests a column that is
 * minus infinity everywhere: it stays where it is, and its first word is free for the number of its value. Sixteen trees
 * (or, in larger trees, sixteen rows) go down together, which hides the latency of loads.
 *
 * Many rows do not go down small trees at all. Each node that sends a row to its second child rules out the leaves below
 * its first one; the first leaf that is left is the row's (Lucchese et al. 2015, "QuickScorer"; Lucchese et al. 2016,
 * "V-QuickScorer"). Eight rows ask a node in four instructions, and no answer decides what is asked next.
 *
 * Python checks every index before a program is made; here only the sizes of what a call hands over are checked.
 */
#define PY_SSIZE_T_CLEAN
#define Py_LIMITED_API 0x030B0000
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define LANES 16
#define MOST_WORDS 8    /* of 32 leaves, for trees that are evaluated by their leaves */
#define BLOCK 64        /* rows that share one pass over the trees */
#define FEW 8           /* fewer rows than this go one by one */
#define RELEASE 64      /* from so many rows on, other threads of Python run meanwhile */
#define MISSING_DIGIT 0xFFFFFFFFull
#define GOLDEN 0x9E3779B97F4A7C15ull

typedef struct { uint32_t value, meta; } Node;

enum { NODES, SETS, REALS, TREES, PARTS, PART_REALS, TERMS, FILLS, DERIVED, DEFAULTS, DIGITS, DIGIT_THRESHOLDS, KEYS,
       KEY_VALUES, STARTS, ENTRIES, SPANS, LEAF_ROWS, BUFFERS };
enum { COPY, NEGATE, LOWEST, SLOT };                                    /* how a column of the block is filled */
enum { LOOKUP, PLUS, MINUS, TIMES, OVER, DENSE };                       /* derived columns */
enum { IDENTITY, SIGMOID, SOFTMAX, PROBABILITY, EXP };                  /* links */
enum { PLAIN, WITH_SETS, OBLIVIOUS };                                   /* trees */

typedef struct { int64_t first, kind, output, width, depth, values, end, words, span, leaves; } Tree;
typedef struct { uint32_t value, column, keep; } Entry;                 /* where `value` sends second: which leaves stay */
typedef struct { int64_t additive, link, outputs, begin, end, base, table, rows; } Part;
typedef struct { double weight, scale; } PartReals;
typedef struct { int64_t column, start, reals, unused; } Term;          /* reals: low, high, weights, missing */
typedef struct { int32_t kind, source; } Fill;
typedef struct { int64_t kind, a, b, first_key, keys, start, bits, values; } Derivation;
typedef struct { int32_t source, equal, limit, stride; } Digit;

typedef struct {
    PyObject_HEAD
    int columns, outputs, shift, first_set, width, derived, parts, most_outputs;
    double temperature;
    int held;
    Py_buffer buffers[BUFFERS];
} Program;

#define ARRAY(p, type, which) ((const type *)(p)->buffers[which].buf)

typedef struct { float *block, *extra; int32_t *cell; double *sums; void *memory; } Scratch;

/* ---- columns */

static inline uint64_t code_of(float value) {
    return value > -1.0f && value < 4294967040.0f ? (uint64_t)(int64_t)value : MISSING_DIGIT - 1;
}

static inline uint32_t slot_of(float value) {
    if (isnan(value)) return 0;
    return value > -1.0f && value < 4294967040.0f ? (uint32_t)(int64_t)value + 1u : 0xFFFFFFFFu;
}

static float look_up(const Program *p, const Derivation *d, float fallback, const float *row) {
    const Digit *digits = ARRAY(p, Digit, DIGITS);
    const float *thresholds = ARRAY(p, float, DIGIT_THRESHOLDS);
    uint64_t key = 0;
    for (int64_t i = d->a; i < d->b; i++) {
        float value = row[digits[i].source], threshold = thresholds[i];
        uint64_t digit;
        if (isnan(threshold)) digit = isnan(value) ? MISSING_DIGIT : code_of(value);
        else digit = digits[i].equal ? value == threshold : value > threshold;
        key = (key ^ (digit + 1)) * GOLDEN;
        key ^= key >> 32;
    }
    /* The top bits say in which run of the sorted keys to search. */
    const uint64_t *keys = ARRAY(p, uint64_t, KEYS) + d->first_key;
    const int32_t *starts = ARRAY(p, int32_t, STARTS) + d->start + (key >> (64 - d->bits));
    int64_t low = starts[0], high = starts[1];
    while (low < high) {
        int64_t middle = (low + high) >> 1;
        if (keys[middle] < key) low = middle + 1;
        else high = middle;
    }
    return low < d->keys && keys[low] == key ? ARRAY(p, float, KEY_VALUES)[d->values + low] : fallback;
}

/* The cell of every row in a table of all combinations of digits; see automl.predictor.dense. */
static void pick(const Program *p, const Derivation *d, const float *values, int rows, int32_t *cell, float *to) {
    const Digit *digits = ARRAY(p, Digit, DIGITS);
    const float *cells = ARRAY(p, float, KEY_VALUES) + d->values;
    for (int r = 0; r < rows; r++) cell[r] = 0;
    for (int64_t i = d->a; i < d->b; i++) {
        const float *column = values + digits[i].source, threshold = ARRAY(p, float, DIGIT_THRESHOLDS)[i];
        const int32_t stride = digits[i].stride;
        if (isnan(threshold)) {
            const float limit = (float)digits[i].limit;
            for (int r = 0; r < rows; r++) {
                float code = column[(size_t)r * p->columns];
                code = code > -1.0f ? code : isnan(code) ? -1.0f : limit;
                cell[r] += stride * ((int32_t)(code < limit ? code : limit) + 1);
            }
        } else if (digits[i].equal) for (int r = 0; r < rows; r++) cell[r] += column[(size_t)r * p->columns] == threshold ? stride : 0;
        else for (int r = 0; r < rows; r++) cell[r] += column[(size_t)r * p->columns] > threshold ? stride : 0;
    }
    for (int r = 0; r < rows; r++) to[r] = cells[cell[r]];
}

static float calculate(int64_t operator, float left, float right) {
    float result = operator == PLUS ? left + right : operator == MINUS ? left - right
                 : operator == TIMES ? left * right : left / right;
    return isfinite(result) ? result : NAN;
}

/* Fill a block: column c of row r is at block[c * stride + r]. Rows from `rows` to `stride` stay as they are. */
static void fill(const Program *p, const float *values, int rows, int stride, Scratch *scratch) {
    const Derivation *derivations = ARRAY(p, Derivation, DERIVED);
    for (int i = 0; i < p->derived; i++) {
        const Derivation *d = derivations + i;
        float *to = scratch->extra + (size_t)i * stride, fallback = ARRAY(p, float, DEFAULTS)[i];
        if (d->kind == DENSE) { pick(p, d, values, rows, scratch->cell, to); continue; }
        for (int r = 0; r < rows; r++) {
            const float *row = values + (size_t)r * p->columns;
            to[r] = d->kind == LOOKUP ? look_up(p, d, fallback, row) : calculate(d->kind, row[d->a], row[d->b]);
        }
    }
    for (int c = 0; c < p->width; c++) {
        Fill how = ARRAY(p, Fill, FILLS)[c];
        float *to = scratch->block + (size_t)c * stride;
        const float *from = how.source < p->columns ? values + how.source
                                                    : scratch->extra + (size_t)(how.source - p->columns) * stride;
        size_t step = how.source < p->columns ? (size_t)p->columns : 1;
        for (int r = 0; r < rows; r++) {
            float value = how.kind == LOWEST ? -INFINITY : from[r * step];
            if (how.kind == NEGATE) value = -value;
            if (how.kind == SLOT) {
                uint32_t slot = slot_of(value);
                memcpy(to + r, &slot, 4);
            } else to[r] = value;
        }
    }
}

/* ---- trees */

static inline uint32_t bits_of(float value) { uint32_t bits; memcpy(&bits, &value, 4); return bits; }
static inline float float_of(uint32_t bits) { float value; memcpy(&value, &bits, 4); return value; }

/* A set of slots is stored as its limit, then words of bits; the bit at the limit is 0. */
static inline uint32_t outside(const uint32_t *set, uint32_t slot) {
    slot = slot < set[0] ? slot : set[0];
    return ~(set[1 + (slot >> 5)] >> (slot & 31)) & 1u;
}

static inline __attribute__((always_inline)) uint32_t second(
    const Program *p, Node node, uint32_t feature, float value, const uint32_t *sets, int with_sets) {
    uint32_t right = !(value <= float_of(node.value));
    if (with_sets) {
        /* A numeric node reads the empty set at 0, which costs less than a branch. */
        uint32_t in_set = feature >= (uint32_t)p->first_set;
        uint32_t member = outside(sets + (in_set ? node.value : 0), bits_of(value));
        right = in_set ? member : right;
    }
    return right;
}

static inline __attribute__((always_inline)) void walk(
    const Program *p, const float *block, size_t stride, size_t row_step, uint32_t *at, int with_sets) {
    const Node *nodes = ARRAY(p, Node, NODES);
    const uint32_t *sets = ARRAY(p, uint32_t, SETS);
    const uint32_t shift = (uint32_t)p->shift, mask = (1u << shift) - 1u;
    uint32_t moved;
    do {
        moved = 0;
        for (int k = 0; k < LANES; k++) {
            Node node = nodes[at[k]];
            uint32_t feature = node.meta & mask, delta = node.meta >> shift;
            at[k] += delta + second(p, node, feature, block[feature * stride + k * row_step], sets, with_sets);
            moved |= delta;
        }
    } while (moved);
}

static inline void add(const double *values, int64_t width, double *to) {
    for (int64_t w = 0; w < width; w++) to[w] += values[w];
}

static void tree_of_rows(const Program *p, const Tree *tree, const float *block, int rows, double *sums, int outputs) {
    const Node *nodes = ARRAY(p, Node, NODES);
    const double *values = ARRAY(p, double, REALS) + tree->values;
    for (int start = 0; start < rows; start += LANES) {
        uint32_t at[LANES];
        for (int k = 0; k < LANES; k++) at[k] = (uint32_t)tree->first;
        if (tree->kind == WITH_SETS) walk(p, block + start, BLOCK, 1, at, 1);
        else walk(p, block + start, BLOCK, 1, at, 0);
        double *to = sums + (size_t)start * outputs + tree->output;
        if (tree->width == 1) for (int k = 0; k < LANES; k++) to[k * outputs] += values[nodes[at[k]].value];
        else for (int k = 0; k < LANES; k++) add(values + nodes[at[k]].value * tree->width, tree->width, to + k * outputs);
    }
}

/* Eight rows at once; rows of a block are not aligned to that. */
typedef float Floats __attribute__((vector_size(32), aligned(4)));
typedef int32_t Ints __attribute__((vector_size(32), aligned(4)));
#define STRIP 32

#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define ANY_CPU __attribute__((target_clones("avx2", "default")))
#else
#define ANY_CPU
#endif

ANY_CPU static void rule_out(const Entry *entry, const Entry *end, const float *block, const uint32_t *sets,
                             uint32_t first_set, uint32_t *left_over) {
    Ints left[STRIP / 8];
    for (int i = 0; i < STRIP / 8; i++) left[i] = (Ints){-1, -1, -1, -1, -1, -1, -1, -1};
    for (; entry < end; entry++) {
        int32_t keep = (int32_t)entry->keep;
        Ints kept = {keep, keep, keep, keep, keep, keep, keep, keep};
        const float *column = block + (size_t)entry->column * BLOCK;
        if (entry->column >= first_set) {
            uint32_t stays[STRIP];
            for (int r = 0; r < STRIP; r++) stays[r] = outside(sets + entry->value, bits_of(column[r])) - 1u;
            for (int i = 0; i < STRIP / 8; i++) left[i] &= *(const Ints *)(stays + 8 * i) | kept;
            continue;
        }
        float t = float_of(entry->value);
        Floats threshold = {t, t, t, t, t, t, t, t};
        for (int i = 0; i < STRIP / 8; i++) left[i] &= (*(const Floats *)(column + 8 * i) <= threshold) | kept;
    }
    memcpy(left_over, left, sizeof left);
}

static void small_tree_of_rows(const Program *p, const Tree *tree, const float *block, int rows, double *sums, int outputs) {
    const Entry *entries = ARRAY(p, Entry, ENTRIES);
    const int64_t *spans = ARRAY(p, int64_t, SPANS) + tree->span;
    const uint32_t *leaf_rows = ARRAY(p, uint32_t, LEAF_ROWS) + tree->leaves;
    const double *values = ARRAY(p, double, REALS) + tree->values;
    for (int start = 0; start < rows; start += STRIP) {
        uint32_t left[MOST_WORDS][STRIP];
        for (int64_t w = 0; w < tree->words; w++)
            rule_out(entries + spans[w], entries + spans[w + 1], block + start, ARRAY(p, uint32_t, SETS),
                     (uint32_t)p->first_set, left[w]);
        double *to = sums + (size_t)start * outputs + tree->output;
        int count = rows - start < STRIP ? rows - start : STRIP;
        if (tree->words == 1 && tree->width == 1) {
            for (int r = 0; r < count; r++) to[r * outputs] += values[leaf_rows[__builtin_ctz(left[0][r])]];
            continue;
        }
        for (int r = 0; r < count; r++) {
            int64_t w = 0;
            while (w + 1 < tree->words && !left[w][r]) w++;
            uint32_t leaf = leaf_rows[32 * w + __builtin_ctz(left[w][r])];
            add(values + leaf * tree->width, tree->width, to + r * outputs);
        }
    }
}

/* All nodes of a level ask the same: the answers are the bits of the leaf's number. */
ANY_CPU static void oblivious_of_rows(const Program *p, const Tree *tree, const float *block, int rows, double *sums, int outputs) {
    const Node *level = ARRAY(p, Node, NODES) + tree->first;
    const uint32_t *sets = ARRAY(p, uint32_t, SETS);
    const double *values = ARRAY(p, double, REALS) + tree->values;
    uint32_t leaf[BLOCK] = {0};
    for (int64_t d = 0; d < tree->depth; d++) {
        const float *column = block + (size_t)level[d].meta * BLOCK;
        if (level[d].meta >= (uint32_t)p->first_set) {
            const uint32_t *set = sets + level[d].value;
            for (int r = 0; r < BLOCK; r++) leaf[r] = leaf[r] << 1 | outside(set, bits_of(column[r]));
        } else {
            float threshold = float_of(level[d].value);
            for (int r = 0; r < BLOCK; r++) leaf[r] = leaf[r] << 1 | (uint32_t)!(column[r] <= threshold);
        }
    }
    double *to = sums + tree->output;
    if (tree->width == 1) for (int r = 0; r < rows; r++) to[(size_t)r * outputs] += values[leaf[r]];
    else for (int r = 0; r < rows; r++) add(values + leaf[r] * tree->width, tree->width, to + (size_t)r * outputs);
}

static void oblivious_of_row(const Program *p, const Tree *tree, const float *block, double *sums) {
    const Node *level = ARRAY(p, Node, NODES) + tree->first;
    const uint32_t *sets = ARRAY(p, uint32_t, SETS);
    uint32_t leaf = 0;
    for (int64_t d = 0; d < tree->depth; d++) {
        float value = block[level[d].meta];
        uint32_t bit = level[d].meta >= (uint32_t)p->first_set ? outside(sets + level[d].value, bits_of(value))
                                                               : (uint32_t)!(value <= float_of(level[d].value));
        leaf = leaf << 1 | bit;
    }
    add(ARRAY(p, double, REALS) + tree->values + leaf * tree->width, tree->width, sums + tree->output);
}

static void trees_of_row(const Program *p, const Part *part, const float *block, double *sums) {
    const Tree *trees = ARRAY(p, Tree, TREES);
    const Node *nodes = ARRAY(p, Node, NODES);
    const double *reals = ARRAY(p, double, REALS);
    for (int64_t t = part->begin; t < part->end;) {
        if (trees[t].kind == OBLIVIOUS) {
            oblivious_of_row(p, trees + t++, block, sums);
            continue;
        }
        uint32_t at[LANES];
        int count = 0, with_sets = 0;
        for (; count < LANES && t + count < part->end && trees[t + count].kind != OBLIVIOUS; count++) {
            at[count] = (uint32_t)trees[t + count].first;
            with_sets |= trees[t + count].kind == WITH_SETS;
        }
        for (int k = count; k < LANES; k++) at[k] = at[0];
        if (with_sets) walk(p, block, 1, 0, at, 1);
        else walk(p, block, 1, 0, at, 0);
        for (int k = 0; k < count; k++) {
            const Tree *tree = trees + t + k;
            add(reals + tree->values + nodes[at[k]].value * tree->width, tree->width, sums + tree->output);
        }
        t += count;
    }
}

static void trees_of_rows(const Program *p, const Part *part, const float *block, int rows, double *sums) {
    const Tree *trees = ARRAY(p, Tree, TREES);
    for (int64_t t = part->begin; t < part->end; t++) {
        if (trees[t].kind == OBLIVIOUS) oblivious_of_rows(p, trees + t, block, rows, sums, (int)part->outputs);
        else if (trees[t].words) small_tree_of_rows(p, trees + t, block, rows, sums, (int)part->outputs);
        else tree_of_rows(p, trees + t, block, rows, sums, (int)part->outputs);
    }
}

/* ---- additive models, links */

static void terms_of_rows(const Program *p, const Part *part, const float *block, int rows, int stride, double *sums) {
    const double *reals = ARRAY(p, double, REALS);
    int64_t outputs = part->outputs;
    for (int64_t t = part->begin; t < part->end; t++) {
        const Term *term = ARRAY(p, Term, TERMS) + t;
        const double *low = reals + term->reals, *weight = low + 2, *missing = weight + outputs;
        for (int r = 0; r < rows; r++) {
            float value = block[(size_t)term->column * stride + r];
            double *to = sums + (size_t)r * outputs;
            if (isnan(value)) { add(missing, outputs, to); continue; }
            if (term->start < 0) {
                double x = value < low[0] ? low[0] : value > low[1] ? low[1] : value;
                for (int64_t o = 0; o < outputs; o++) to[o] += weight[o] * x;
                continue;
            }
            uint64_t row = code_of(value);
            int known = row < (uint64_t)(part->rows - term->start);
            add(known ? reals + part->table + (term->start + (int64_t)row) * outputs : missing, outputs, to);
        }
    }
}

static double logistic(double raw) {
    if (raw >= 0) return 1.0 / (1.0 + exp(-raw));
    double e = exp(raw);
    return e / (1.0 + e);
}

static void normalise(double *numbers, int64_t count) {
    double sum = 0;
    for (int64_t o = 0; o < count; o++) sum += numbers[o];
    /* Where nothing is left all classes are equally likely. */
    for (int64_t o = 0; o < count; o++) numbers[o] = sum > 0 ? numbers[o] / sum : 1.0 / (double)count;
}

static void soften(double *raw, int64_t count) {
    double highest = raw[0];
    for (int64_t o = 1; o < count; o++) if (raw[o] > highest) highest = raw[o];
    for (int64_t o = 0; o < count; o++) raw[o] = exp(raw[o] - highest);
    normalise(raw, count);
}

static void link_row(const Part *part, double weight, double *raw, double *out) {
    if (part->link == IDENTITY) { out[0] += weight * raw[0]; return; }
    if (part->link == EXP) { out[0] += weight * exp(raw[0]); return; }
    if (part->link == SIGMOID) {
        double first = logistic(raw[0]);
        out[0] += weight * (1.0 - first);
        out[1] += weight * first;
        return;
    }
    if (part->link == SOFTMAX) soften(raw, part->outputs);
    else {
        for (int64_t o = 0; o < part->outputs; o++) if (!(raw[o] > 0)) raw[o] = 0;
        normalise(raw, part->outputs);
    }
    for (int64_t o = 0; o < part->outputs; o++) out[o] += weight * raw[o];
}

static void temper(double temperature, double *out, int outputs) {
    for (int o = 0; o < outputs; o++) out[o] = log(out[o] > 1e-15 ? out[o] : 1e-15) / temperature;
    soften(out, outputs);
}

static void predict_block(const Program *p, const float *values, int rows, int stride, Scratch *scratch, double *out) {
    const double *reals = ARRAY(p, double, REALS);
    fill(p, values, rows, stride, scratch);
    memset(out, 0, sizeof(double) * (size_t)rows * p->outputs);
    for (int i = 0; i < p->parts; i++) {
        const Part *part = ARRAY(p, Part, PARTS) + i;
        PartReals real = ARRAY(p, PartReals, PART_REALS)[i];
        double *sums = scratch->sums;
        memset(sums, 0, sizeof(double) * (size_t)stride * part->outputs);
        if (part->additive) terms_of_rows(p, part, scratch->block, rows, stride, sums);
        else if (stride == 1) trees_of_row(p, part, scratch->block, sums);
        else trees_of_rows(p, part, scratch->block, rows, sums);
        for (int r = 0; r < rows; r++) {
            double *raw = sums + (size_t)r * part->outputs;
            for (int64_t o = 0; o < part->outputs; o++) raw[o] = reals[part->base + o] + real.scale * raw[o];
            link_row(part, real.weight, raw, out + (size_t)r * p->outputs);
        }
    }
    if (p->temperature != 1.0)
        for (int r = 0; r < rows; r++) temper(p->temperature, out + (size_t)r * p->outputs, p->outputs);
}

static int reserve(const Program *p, size_t stride, Scratch *scratch) {
    size_t block = stride * (p->width + 1), extra = stride * (p->derived + 1), sums = stride * (p->most_outputs + 1);
    scratch->memory = calloc(1, sums * sizeof(double) + (block + extra + stride) * sizeof(float));
    if (!scratch->memory) { PyErr_NoMemory(); return 0; }
    scratch->sums = scratch->memory;
    scratch->block = (float *)(scratch->sums + sums);
    scratch->extra = scratch->block + block;
    scratch->cell = (int32_t *)(scratch->extra + extra);
    return 1;
}

static void predict_all(const Program *p, const float *values, Py_ssize_t rows, size_t stride, Scratch *scratch, double *out) {
    for (Py_ssize_t start = 0; start < rows; start += stride) {
        int count = rows - start < (Py_ssize_t)stride ? (int)(rows - start) : (int)stride;
        predict_block(p, values + start * p->columns, count, (int)stride, scratch, out + start * p->outputs);
    }
}

/* ---- the object */

/* Take float32 rows and the float64 array to write to; returns the number of rows, or -1 with an exception set. */
static Py_ssize_t take(const Program *p, PyObject *const *args, Py_ssize_t per_row, Py_buffer *values, Py_buffer *out) {
    if (PyObject_GetBuffer(args[0], values, PyBUF_C_CONTIGUOUS) < 0) return -1;
    if (PyObject_GetBuffer(args[1], out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0) { PyBuffer_Release(values); return -1; }
    Py_ssize_t rows = p->columns ? values->len / ((Py_ssize_t)sizeof(float) * p->columns)
                                 : out->len / ((Py_ssize_t)sizeof(double) * per_row);
    if (rows * p->columns * (Py_ssize_t)sizeof(float) == values->len && rows * per_row * (Py_ssize_t)sizeof(double) == out->len)
        return rows;
    PyBuffer_Release(values);
    PyBuffer_Release(out);
    PyErr_SetString(PyExc_ValueError, "values or out have the wrong size for this program");
    return -1;
}

static PyObject *program_predict(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Program *p = (Program *)self;
    Py_buffer values, out;
    Scratch scratch;
    if (count != 2) { PyErr_SetString(PyExc_TypeError, "predict(values, out)"); return NULL; }
    Py_ssize_t rows = take(p, args, p->outputs, &values, &out);
    if (rows < 0) return NULL;
    size_t stride = rows < FEW ? 1 : BLOCK;
    int reserved = reserve(p, stride, &scratch);
    if (reserved && rows >= RELEASE) {
        Py_BEGIN_ALLOW_THREADS
        predict_all(p, values.buf, rows, stride, &scratch, out.buf);
        Py_END_ALLOW_THREADS
    } else if (reserved) predict_all(p, values.buf, rows, stride, &scratch, out.buf);
    if (reserved) free(scratch.memory);
    PyBuffer_Release(&values);
    PyBuffer_Release(&out);
    if (!reserved) return NULL;
    Py_RETURN_NONE;
}

#include "_shap.h"

static void program_dealloc(PyObject *self) {
    Program *p = (Program *)self;
    PyTypeObject *type = Py_TYPE(self);
    for (int i = 0; i < p->held; i++) PyBuffer_Release(p->buffers + i);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* Program(columns, outputs, shift, first_set, temperature, arrays): arrays in the order of the buffers. */
static PyObject *program_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    int columns, outputs, shift, first_set;
    double temperature;
    PyObject *arrays;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "iiiidO!", &columns, &outputs, &shift, &first_set, &temperature, &PyTuple_Type, &arrays))
        return NULL;
    if (PyTuple_Size(arrays) != BUFFERS) { PyErr_SetString(PyExc_ValueError, "wrong number of arrays"); return NULL; }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Program *p = (Program *)allocate(type, 0);
    if (!p) return NULL;
    p->columns = columns;
    p->outputs = outputs;
    p->shift = shift;
    p->first_set = first_set;
    p->temperature = temperature;
    for (p->held = 0; p->held < BUFFERS; p->held++)
        if (PyObject_GetBuffer(PyTuple_GetItem(arrays, p->held), p->buffers + p->held, PyBUF_C_CONTIGUOUS) < 0) {
            Py_DECREF(p);
            return NULL;
        }
    p->width = (int)(p->buffers[FILLS].len / (Py_ssize_t)sizeof(Fill));
    p->derived = (int)(p->buffers[DERIVED].len / (Py_ssize_t)sizeof(Derivation));
    p->parts = (int)(p->buffers[PARTS].len / (Py_ssize_t)sizeof(Part));
    for (int i = 0; i < p->parts; i++)
        if (ARRAY(p, Part, PARTS)[i].outputs > p->most_outputs) p->most_outputs = (int)ARRAY(p, Part, PARTS)[i].outputs;
    return (PyObject *)p;
}

static PyMethodDef program_methods[] = {
    {"predict", (PyCFunction)(void (*)(void))program_predict, METH_FASTCALL, "predict(values, out): float32 rows to float64."},
    {"explain", (PyCFunction)(void (*)(void))program_explain, METH_FASTCALL, "explain(values, out, shares, players, total)."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot program_slots[] = {
    {Py_tp_new, program_new}, {Py_tp_dealloc, program_dealloc}, {Py_tp_methods, program_methods}, {0, NULL},
};
static PyType_Spec program_spec = {
    "automl.predictor._kernel.Program", sizeof(Program), 0, Py_TPFLAGS_DEFAULT, program_slots,
};

static int execute(PyObject *module) {
    PyObject *type = PyType_FromSpec(&program_spec);
    if (!type) return -1;
    int result = PyModule_AddObjectRef(module, "Program", type);
    Py_DECREF(type);
    return result;
}
static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", NULL, 0, NULL, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module); }
