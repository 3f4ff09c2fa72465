/* Path-dependent TreeSHAP: Lundberg, Erion, Lee (2018), "Consistent Individualized Feature Attribution for Tree Ensembles",
 * algorithm 2. Included by _kernel.c.
 *
 * `shares` says for each node which share of its parent's training weight reached it. Players are columns before they were
 * negated or turned into slots, so that both forms of a column are one player.
 */
#define DEEPEST 1024

typedef struct { int64_t player; double zero, one, weight; } Step;

typedef struct {
    const Program *program;
    const Tree *tree;
    const float *block;
    const double *shares;
    const int32_t *players;
    double *out;           /* (players + 1, slots), at this part's first slot */
    int64_t slots;
    double scale;
} Explanation;

static void extend(Step *path, int depth, double zero, double one, int64_t player) {
    path[depth].player = player;
    path[depth].zero = zero;
    path[depth].one = one;
    path[depth].weight = depth == 0 ? 1.0 : 0.0;
    for (int i = depth - 1; i >= 0; i--) {
        path[i + 1].weight += one * path[i].weight * (i + 1) / (depth + 1);
        path[i].weight = zero * path[i].weight * (depth - i) / (depth + 1);
    }
}

static void unwind(Step *path, int depth, int index) {
    double one = path[index].one, zero = path[index].zero, next = path[depth].weight;
    for (int i = depth - 1; i >= 0; i--) {
        if (one != 0) {
            double weight = path[i].weight;
            path[i].weight = next * (depth + 1) / ((i + 1) * one);
            next = weight - path[i].weight * zero * (depth - i) / (depth + 1);
        } else path[i].weight = path[i].weight * (depth + 1) / (zero * (depth - i));
    }
    for (int i = index; i < depth; i++) {
        path[i].player = path[i + 1].player;
        path[i].zero = path[i + 1].zero;
        path[i].one = path[i + 1].one;
    }
}

static double unwound_sum(const Step *path, int depth, int index) {
    double one = path[index].one, zero = path[index].zero, next = path[depth].weight, total = 0;
    for (int i = depth - 1; i >= 0; i--) {
        if (one != 0) {
            double part = next / ((i + 1) * one);
            total += part;
            next = path[i].weight - part * zero * (depth - i);
        } else total += path[i].weight / (zero * (depth - i));
    }
    return total * (depth + 1);
}

static void explain_leaf(const Explanation *e, Node leaf, const Step *path, int depth) {
    const double *values = ARRAY(e->program, double, REALS) + e->tree->values + leaf.value * e->tree->width;
    for (int i = 1; i <= depth; i++) {
        double weight = unwound_sum(path, depth, i) * (path[i].one - path[i].zero) * e->scale;
        double *to = e->out + path[i].player * e->slots + e->tree->output;
        for (int64_t w = 0; w < e->tree->width; w++) to[w] += weight * values[w];
    }
}

/* `above` is the path of the parent, of depth `depth - 1`; this node's own begins behind it. */
static void explain_node(const Explanation *e, uint32_t at, const Step *above, int depth, double zero, double one, int64_t player) {
    Step *path = (Step *)above + depth;
    memcpy(path, above, sizeof(Step) * (size_t)depth);
    extend(path, depth, zero, one, player);
    Node node = ARRAY(e->program, Node, NODES)[at];
    uint32_t shift = (uint32_t)e->program->shift, feature = node.meta & ((1u << shift) - 1u), delta = node.meta >> shift;
    if (!delta) { explain_leaf(e, node, path, depth); return; }
    uint32_t right = second(e->program, node, feature, e->block[feature], ARRAY(e->program, uint32_t, SETS), 1);
    double zero_before = 1.0, one_before = 1.0;
    int64_t asked = e->players[feature];
    for (int i = 1; i <= depth; i++)
        if (path[i].player == asked) {
            zero_before = path[i].zero;
            one_before = path[i].one;
            unwind(path, depth, i);
            depth--;
            break;
        }
    for (uint32_t side = 0; side < 2; side++) {
        uint32_t child = at + delta + side;
        double zero_next = zero_before * e->shares[child], one_next = side == right ? one_before : 0.0;
        if (zero_next != 0 || one_next != 0) explain_node(e, child, path, depth + 1, zero_next, one_next, asked);
    }
}

/* What a tree says without knowing any column. Children come behind their parents. */
static void expect(const Explanation *e, double *reach, double *base) {
    const Node *nodes = ARRAY(e->program, Node, NODES);
    uint32_t shift = (uint32_t)e->program->shift;
    int64_t first = e->tree->first;
    reach[0] = 1.0;
    for (int64_t at = first; at < e->tree->end; at++) {
        uint32_t delta = nodes[at].meta >> shift;
        double here = reach[at - first];
        if (!delta) {
            const double *values = ARRAY(e->program, double, REALS) + e->tree->values + nodes[at].value * e->tree->width;
            for (int64_t w = 0; w < e->tree->width; w++) base[e->tree->output + w] += here * e->scale * values[w];
        } else for (int side = 0; side < 2; side++) {
            int64_t child = at + delta + side;
            reach[child - first] = here * e->shares[child];
        }
    }
}

static void explain_all(const Program *p, const float *values, Py_ssize_t rows, Explanation e, int64_t total, double *out,
                        Scratch *scratch, Step *path, double *reach, double *base) {
    const Tree *trees = ARRAY(p, Tree, TREES);
    int64_t slot = 0;
    for (Py_ssize_t r = -1; r < rows; r++, slot = 0) {
        double *row = r < 0 ? NULL : out + r * (total + 1) * e.slots;
        if (row) fill(p, values + r * p->columns, 1, 1, scratch);
        for (int i = 0; i < p->parts; i++) {
            const Part *part = ARRAY(p, Part, PARTS) + i;
            e.scale = ARRAY(p, PartReals, PART_REALS)[i].scale;
            e.out = row ? row + slot : NULL;
            for (int64_t t = part->begin; t < part->end && !part->additive; t++) {
                e.tree = trees + t;
                if (!row) expect(&e, reach, base + slot);
                else explain_node(&e, (uint32_t)e.tree->first, path, 0, 1.0, 1.0, -1);
            }
            for (int64_t o = 0; o < part->outputs; o++) {
                if (!row) base[slot + o] += ARRAY(p, double, REALS)[part->base + o];
                else row[total * e.slots + slot + o] = base[slot + o];
            }
            slot += part->outputs;
        }
    }
}

/* explain(values, out, shares, players, total): out float64 (rows, total + 1, slots), zero; slots are all parts' outputs in
 * their order, out[:, total] becomes what they say without knowing any column. Additive parts get their base only. */
static PyObject *program_explain(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Program *p = (Program *)self;
    Py_buffer values, out, shares, players;
    Scratch scratch;
    Explanation e = {.program = p};
    int64_t longest = 1, deepest = 1;
    if (count != 5) { PyErr_SetString(PyExc_TypeError, "explain(values, out, shares, players, total)"); return NULL; }
    Py_ssize_t total = PyLong_AsSsize_t(args[4]);
    if (total == -1 && PyErr_Occurred()) return NULL;
    for (int i = 0; i < p->parts; i++) e.slots += ARRAY(p, Part, PARTS)[i].outputs;
    for (size_t t = 0; t < p->buffers[TREES].len / sizeof(Tree); t++) {
        const Tree *tree = ARRAY(p, Tree, TREES) + t;
        if (tree->kind == OBLIVIOUS) { PyErr_SetString(PyExc_ValueError, "the program has oblivious trees"); return NULL; }
        if (tree->end - tree->first > longest) longest = tree->end - tree->first;
        if (tree->depth > deepest) deepest = tree->depth;
    }
    if (deepest > DEEPEST) { PyErr_Format(PyExc_ValueError, "trees deeper than %d are not explained", DEEPEST); return NULL; }
    Py_ssize_t rows = take(p->columns, args, (total + 1) * e.slots, &values, &out);
    if (rows < 0) return NULL;
    PyObject *result = NULL;
    if (PyObject_GetBuffer(args[2], &shares, PyBUF_C_CONTIGUOUS) < 0) goto release_rows;
    if (PyObject_GetBuffer(args[3], &players, PyBUF_C_CONTIGUOUS) < 0) goto release_shares;
    if ((size_t)shares.len != p->buffers[NODES].len / sizeof(Node) * sizeof(double)
        || (size_t)players.len != (size_t)p->width * sizeof(int32_t)) {
        PyErr_SetString(PyExc_ValueError, "shares or players have the wrong size for this program");
        goto release_players;
    }
    e.shares = shares.buf;
    e.players = players.buf;
    size_t steps = (size_t)((deepest + 3) * (deepest + 4));
    Step *path = calloc(steps, sizeof(Step));
    double *reach = calloc((size_t)longest, sizeof(double)), *base = calloc((size_t)e.slots, sizeof(double));
    if (!path || !reach || !base) PyErr_NoMemory();
    else if (reserve(p, 1, &scratch)) {
        e.block = scratch.block;
        Py_BEGIN_ALLOW_THREADS
        explain_all(p, values.buf, rows, e, total, out.buf, &scratch, path, reach, base);
        Py_END_ALLOW_THREADS
        free(scratch.memory);
        Py_INCREF(Py_None);
        result = Py_None;
    }
    free(path);
    free(reach);
    free(base);
release_players:
    PyBuffer_Release(&players);
release_shares:
    PyBuffer_Release(&shares);
release_rows:
    PyBuffer_Release(&values);
    PyBuffer_Release(&out);
    return result;
}
