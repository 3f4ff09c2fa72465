/* Trees: down them, by their leaves, by their levels. Included by _kernel.c. */
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
#define LINE 8           /* nodes that are loaded at once */
#define AHEAD 64         /* nodes of a tree that are loaded while others are walked, which saves a tenth of a row of many trees, and a quarter at best */
#define TOGETHER 8      /* oblivious trees */

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
static inline __attribute__((always_inline)) void leaves_of_strip(
    const Node *level, int64_t depth, const float *block, const uint32_t *sets, uint32_t first_set, uint32_t *leaf) {
    const int32_t last = (int32_t)((1u << depth) - 1u);
    Ints first[STRIP / 8] = {0};  /* the bits of those that go to the first child */
    for (const Node *end = level + depth; level < end; level++) {
        const float *column = block + (size_t)level->meta * BLOCK;
        if (level->meta >= first_set) {
            uint32_t stays[STRIP];
            for (int r = 0; r < STRIP; r++) stays[r] = outside(sets + level->value, bits_of(column[r])) - 1u;
            for (int i = 0; i < STRIP / 8; i++) first[i] = first[i] + first[i] - *(const Ints *)(stays + 8 * i);
            continue;
        }
        float t = float_of(level->value);
        Floats threshold = {t, t, t, t, t, t, t, t};
        for (int i = 0; i < STRIP / 8; i++) first[i] = first[i] + first[i] - (*(const Floats *)(column + 8 * i) <= threshold);
    }
    for (int i = 0; i < STRIP / 8; i++) first[i] = last - first[i];
    memcpy(leaf, first, sizeof first);
}

/* `count` trees, all of one value for the same output where there are several: sums are read and written once for them. */
ANY_CPU static void oblivious_of_rows(const Node *nodes, const uint32_t *sets, uint32_t first_set, const double *reals,
                                      const Tree *trees, int count, const float *block, int rows, double *sums, int outputs) {
    uint32_t leaf[TOGETHER][STRIP];
    const double *values[TOGETHER];
    for (int k = 0; k < count; k++) values[k] = reals + trees[k].values;
    for (int start = 0; start < rows; start += STRIP) {
        for (int k = 0; k < count; k++)
            leaves_of_strip(nodes + trees[k].first, trees[k].depth, block + start, sets, first_set, leaf[k]);
        double *to = sums + (size_t)start * outputs + trees->output;
        int here = rows - start < STRIP ? rows - start : STRIP;
        if (count == TOGETHER) for (int r = 0; r < here; r++) {
            double sum = to[(size_t)r * outputs];
            for (int k = 0; k < TOGETHER; k++) sum += values[k][leaf[k][r]];
            to[(size_t)r * outputs] = sum;
        } else for (int k = 0; k < count; k++)
            for (int r = 0; r < here; r++) add(values[k] + leaf[k][r] * trees[k].width, trees[k].width, to + (size_t)r * outputs);
    }
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
        for (int64_t next = t + LANES; next < t + 2 * LANES && next < part->end; next++)
            for (int64_t n = trees[next].first; n < trees[next].end && n < trees[next].first + AHEAD; n += LINE)
                __builtin_prefetch(nodes + n);
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

/* How many oblivious trees from the first on are evaluated together: `TOGETHER`, or one. */
static int alike(const Tree *tree, const Tree *end) {
    if (end - tree < TOGETHER) return 1;
    for (int k = 0; k < TOGETHER; k++)
        if (tree[k].kind != OBLIVIOUS || tree[k].width != 1 || tree[k].output != tree->output) return 1;
    return TOGETHER;
}

static void trees_of_rows(const Program *p, const Part *part, const float *block, int rows, double *sums) {
    const Tree *trees = ARRAY(p, Tree, TREES);
    for (int64_t t = part->begin; t < part->end; t++) {
        if (trees[t].kind == OBLIVIOUS) {
            int count = alike(trees + t, trees + part->end);
            oblivious_of_rows(ARRAY(p, Node, NODES), ARRAY(p, uint32_t, SETS), (uint32_t)p->first_set, ARRAY(p, double, REALS),
                              trees + t, count, block, rows, sums, (int)part->outputs);
            t += count - 1;
        } else if (trees[t].words) small_tree_of_rows(p, trees + t, block, rows, sums, (int)part->outputs);
        else tree_of_rows(p, trees + t, block, rows, sums, (int)part->outputs);
    }
}
