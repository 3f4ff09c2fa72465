/* Trees in the order in which they are walked: see automl.predictor.layout. Included by _kernel.c. */
enum { FEATURE, LEFT, RIGHT, WEIGHT, FLIPPED, ROOTS, NODE, DELTA, BEGIN, DEPTH, LAID };

typedef struct { int32_t node, level; } Visit;

/* Give each child of `parent` its place; returns 0 where one is no node, or has a place already. */
static int place_children(Py_buffer *of, int64_t nodes, int32_t parent, int32_t *place, int32_t *next) {
    int32_t left = ((int32_t *)of[LEFT].buf)[parent], right = ((int32_t *)of[RIGHT].buf)[parent], first = *next;
    if (left < 0 || right < 0 || left >= nodes || right >= nodes) return 0;
    if (left == right || place[left] >= 0 || place[right] >= 0) return 0;
    int flip = ((uint8_t *)of[FLIPPED].buf)[parent] != 0;
    int32_t *node = of[NODE].buf;
    place[left] = first + flip;
    place[right] = first + !flip;
    node[first + flip] = left;
    node[first + !flip] = right;
    ((int32_t *)of[DELTA].buf)[place[parent]] = first - place[parent];
    *next = first + 2;
    return 1;
}

/* Pairs of children depth first, the heavier one's before. Returns 0 where a node would be reached twice, or is none. */
static int place_nodes(Py_buffer *of, int64_t nodes, int64_t trees, int64_t deepest, Visit *stack, int32_t *place, int *deep) {
    const int32_t *feature = of[FEATURE].buf, *left = of[LEFT].buf, *right = of[RIGHT].buf, *roots = of[ROOTS].buf;
    const float *weight = of[WEIGHT].buf;
    int64_t *begin = of[BEGIN].buf, *depth = of[DEPTH].buf;
    int32_t next = 0;
    for (int64_t t = 0; t < trees; t++) {
        if (roots[t] < 0 || roots[t] >= nodes || place[roots[t]] >= 0) return 0;
        begin[t] = next;
        depth[t] = 0;
        ((int32_t *)of[NODE].buf)[next] = roots[t];
        place[roots[t]] = next++;
        int64_t top = 0;
        stack[top++] = (Visit){roots[t], 0};
        while (top) {
            Visit at = stack[--top];
            if (feature[at.node] < 0) { ((int32_t *)of[DELTA].buf)[place[at.node]] = 0; continue; }
            int32_t level = at.level + 1;
            if (level >= deepest) { *deep = 1; return 1; }
            if (level > depth[t]) depth[t] = level;
            if (!place_children(of, nodes, at.node, place, &next)) return 0;
            int32_t l = left[at.node], r = right[at.node], left_first = weight[l] >= weight[r];
            stack[top++] = (Visit){left_first ? r : l, level};
            stack[top++] = (Visit){left_first ? l : r, level};
        }
    }
    begin[trees] = next;
    return 1;
}

/* Take `count` contiguous arrays, those from `written` on to be written to; returns 0 with an exception set. */
static int take_all(PyObject *arrays, int count, int written, Py_buffer *of, int *held) {
    *held = 0;
    if (!PyTuple_Check(arrays) || PyTuple_Size(arrays) != count) { PyErr_SetString(PyExc_ValueError, "wrong number of arrays"); return 0; }
    for (; *held < count; (*held)++) {
        int flags = PyBUF_C_CONTIGUOUS | (*held >= written ? PyBUF_WRITABLE : 0);
        if (PyObject_GetBuffer(PyTuple_GetItem(arrays, *held), of + *held, flags) < 0) return 0;
    }
    return 1;
}

static int has_lengths(const Py_buffer *of, int count, const Py_ssize_t *bytes, const int64_t *lengths) {
    for (int i = 0; i < count; i++)
        if (of[i].len != lengths[i] * bytes[i] || lengths[i] > INT32_MAX) {
            PyErr_SetString(PyExc_ValueError, "arrays differ in length");
            return 0;
        }
    return 1;
}

/* lay_out(deepest, arrays): the arrays of the enumeration, the last four to be written; False where a tree is too deep. */
static PyObject *forest_lay_out(PyObject *module, PyObject *args) {
    static const Py_ssize_t bytes[LAID] = {4, 4, 4, 4, 1, 4, 4, 4, 8, 8};
    long long deepest;
    PyObject *arrays, *result = NULL;
    Py_buffer of[LAID];
    int held = 0, deep = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "LO!", &deepest, &PyTuple_Type, &arrays) || !take_all(arrays, LAID, NODE, of, &held)) goto done;
    int64_t nodes = of[FEATURE].len / 4, trees = of[ROOTS].len / 4;
    int64_t lengths[LAID] = {nodes, nodes, nodes, nodes, nodes, trees, nodes, nodes, trees + 1, trees};
    if (!has_lengths(of, LAID, bytes, lengths)) goto done;
    Visit *stack = malloc(sizeof(Visit) * (size_t)(deepest + 2));
    int32_t *place = malloc(sizeof(int32_t) * (size_t)(nodes + 1));
    int sound = 0;
    if (stack && place) {
        memset(place, 0xFF, sizeof(int32_t) * (size_t)nodes);
        Py_BEGIN_ALLOW_THREADS
        sound = place_nodes(of, nodes, trees, deepest, stack, place, &deep);
        Py_END_ALLOW_THREADS
        if (sound) result = PyBool_FromLong(!deep);
        else PyErr_SetString(PyExc_ValueError, "a child is no node, or the child of two");
    } else PyErr_NoMemory();
    free(stack);
    free(place);
done:
    while (held--) PyBuffer_Release(of + held);
    return result;
}

/* number_leaves(arrays): delta, then count and first to be written, int32 each; see automl.predictor.layout. */
static PyObject *forest_number_leaves(PyObject *module, PyObject *arrays) {
    static const Py_ssize_t bytes[3] = {4, 4, 4};
    PyObject *result = NULL;
    Py_buffer of[3];
    int held = 0;
    (void)module;
    if (!take_all(arrays, 3, 1, of, &held)) goto done;
    int64_t nodes = of[0].len / 4, lengths[3] = {nodes, nodes, nodes};
    if (!has_lengths(of, 3, bytes, lengths)) goto done;
    const int32_t *step = of[0].buf;
    int32_t *leaves = of[1].buf, *from = of[2].buf;
    for (int64_t i = 0; i < nodes; i++)
        if (step[i] < 0 || (step[i] && i + step[i] + 1 >= nodes)) { PyErr_SetString(PyExc_ValueError, "a child is no node"); goto done; }
    /* Children are behind their parents. */
    for (int64_t i = nodes; i--;) leaves[i] = step[i] ? leaves[i + step[i]] + leaves[i + step[i] + 1] : 1;
    memset(from, 0, sizeof(int32_t) * (size_t)nodes);
    for (int64_t i = 0; i < nodes; i++) {
        if (!step[i]) continue;
        from[i + step[i]] = from[i];
        from[i + step[i] + 1] = from[i] + leaves[i + step[i]];
    }
    result = Py_NewRef(Py_None);
done:
    while (held--) PyBuffer_Release(of + held);
    return result;
}

static const char *fault_of_nodes(const Py_buffer *of, int64_t nodes, int64_t trees, int32_t wide, int64_t values, uint8_t *reached) {
    const int32_t *feature = of[FEATURE].buf, *left = of[LEFT].buf, *right = of[RIGHT].buf, *roots = of[3].buf;
    for (int64_t t = 0; t < trees; t++) {
        if (roots[t] < 0 || roots[t] >= nodes) return "a root is no node";
        if (reached[roots[t]]++) return "a node has two parents";
    }
    for (int64_t i = 0; i < nodes; i++) {
        if (feature[i] >= wide) return "a node reads a column that is not there";
        if (feature[i] < 0) {
            if (left[i] < 0 || left[i] >= values) return "a leaf has no value";
            continue;
        }
        if (left[i] < 0 || left[i] >= nodes || right[i] < 0 || right[i] >= nodes) return "a child is no node";
        if (reached[left[i]]++ || reached[right[i]]++) return "a node has two parents";
    }
    return NULL;
}

/* find_fault(wide, values, arrays): feature, left, right, roots; what is wrong with the nodes, None where nothing is. */
static PyObject *forest_find_fault(PyObject *module, PyObject *args) {
    static const Py_ssize_t bytes[4] = {4, 4, 4, 4};
    int wide, held = 0;
    long long values;
    PyObject *arrays, *result = NULL;
    Py_buffer of[4];
    (void)module;
    if (!PyArg_ParseTuple(args, "iLO!", &wide, &values, &PyTuple_Type, &arrays) || !take_all(arrays, 4, 4, of, &held)) goto done;
    int64_t nodes = of[FEATURE].len / 4, trees = of[3].len / 4, lengths[4] = {nodes, nodes, nodes, trees};
    if (!has_lengths(of, 4, bytes, lengths)) goto done;
    uint8_t *reached = calloc((size_t)nodes + 1, 1);
    if (!reached) { PyErr_NoMemory(); goto done; }
    const char *fault = fault_of_nodes(of, nodes, trees, wide, values, reached);
    free(reached);
    result = fault ? PyUnicode_FromString(fault) : Py_NewRef(Py_None);
done:
    while (held--) PyBuffer_Release(of + held);
    return result;
}

/* What a node asks where missing goes left: the negated column, with the children exchanged. */
static inline uint32_t negated(float threshold) {
    if (isnan(threshold)) return bits_of(INFINITY);
    return bits_of(threshold == INFINITY ? NAN : nextafterf(-threshold, -INFINITY));
}

/* mark_columns(arrays): feature, category, missing_left of nodes; (4, columns) bytes to be set where nodes read a column so. */
static PyObject *forest_mark_columns(PyObject *module, PyObject *arrays) {
    static const Py_ssize_t bytes[4] = {4, 4, 1, 1};
    PyObject *result = NULL;
    Py_buffer of[4];
    int held = 0;
    (void)module;
    if (!take_all(arrays, 4, 3, of, &held)) goto done;
    int64_t nodes = of[0].len / 4, wide = of[3].len / 4, lengths[4] = {nodes, nodes, nodes, 4 * wide};
    if (!has_lengths(of, 4, bytes, lengths)) goto done;
    const int32_t *feature = of[0].buf, *category = of[1].buf;
    const uint8_t *missing_left = of[2].buf;
    uint8_t *asked = of[3].buf;
    for (int64_t i = 0; i < nodes; i++) {
        if (feature[i] < 0) continue;
        if (feature[i] >= wide) { PyErr_SetString(PyExc_ValueError, "a node reads a column that is not there"); goto done; }
        asked[(category[i] >= 0 ? SLOT : missing_left[i] ? NEGATE : COPY) * wide + feature[i]] = 1;
    }
    result = Py_NewRef(Py_None);
done:
    while (held--) PyBuffer_Release(of + held);
    return result;
}

/* fill_nodes(lowest, arrays): feature, left, threshold, category, missing_left, sets of the forest's nodes; the column of the
 * block for each way and column; node of the layout; value and column of its nodes to be written. See automl.predictor.program. */
static PyObject *forest_fill_nodes(PyObject *module, PyObject *args) {
    static const Py_ssize_t bytes[10] = {4, 4, 4, 4, 1, 8, 4, 4, 4, 4};
    int lowest, held = 0;
    PyObject *arrays, *result = NULL;
    Py_buffer of[10];
    (void)module;
    if (!PyArg_ParseTuple(args, "iO!", &lowest, &PyTuple_Type, &arrays) || !take_all(arrays, 10, 8, of, &held)) goto done;
    int64_t nodes = of[0].len / 4, wide = of[6].len / 16, laid = of[7].len / 4;
    int64_t lengths[10] = {nodes, nodes, nodes, nodes, nodes, nodes, 4 * wide, laid, laid, laid};
    if (!has_lengths(of, 10, bytes, lengths)) goto done;
    const int32_t *feature = of[0].buf, *left = of[1].buf, *category = of[3].buf, *table = of[6].buf, *node = of[7].buf;
    const float *threshold = of[2].buf;
    const uint8_t *missing_left = of[4].buf;
    const int64_t *sets = of[5].buf;
    uint32_t *value = of[8].buf;
    int32_t *column = of[9].buf;
    for (int64_t i = 0; i < laid; i++) {
        int32_t n = node[i];
        if (n < 0 || n >= nodes || feature[n] >= wide) { PyErr_SetString(PyExc_ValueError, "a place has no node"); goto done; }
        if (feature[n] < 0) {
            value[i] = (uint32_t)left[n];
            column[i] = lowest;
            continue;
        }
        int kind = category[n] >= 0 ? SLOT : missing_left[n] ? NEGATE : COPY;
        value[i] = kind == SLOT ? (uint32_t)sets[n] : kind == NEGATE ? negated(threshold[n]) : bits_of(threshold[n]);
        column[i] = table[kind * wide + feature[n]];
    }
    result = Py_NewRef(Py_None);
done:
    while (held--) PyBuffer_Release(of + held);
    return result;
}

static inline int bit_of(const uint8_t *bits, int64_t i) { return bits[i >> 3] >> (7 - (i & 7)) & 1; }
static inline int32_t word_of(const void *words, int64_t i) { int32_t w; memcpy(&w, (const char *)words + 4 * i, 4); return w; }

enum { INNER, ASKS, MISSING, OF_INNER, LIMIT, STEP, OF_LEAF, SET, WORDS, GAIN, SPREAD };

/* The nodes of a forest from what a file has of inner nodes, leaves and nodes that ask for sets; 0 where that does not add up. */
static int spread_nodes(const Py_buffer *of, const Py_buffer *to, int64_t nodes) {
    int64_t inner = 0, leaf = 0, asking = 0, inners = of[OF_INNER].len / 4, leaves = of[OF_LEAF].len / 4, sets = of[SET].len / 4;
    int32_t *feature = to[0].buf, *threshold = to[1].buf, *left = to[2].buf, *right = to[3].buf;
    int32_t *category = to[5].buf, *words = to[6].buf, *gain = to[7].buf;
    uint8_t *missing_left = to[4].buf;
    int has_gain = to[7].len > 0;
    for (int64_t i = 0; i < nodes; i++) {
        int32_t own_set = -1, own_words = 0, own_gain = 0;
        if (bit_of(of[INNER].buf, i)) {
            if (inner >= inners) return 0;
            if (bit_of(of[ASKS].buf, inner)) {
                if (asking >= sets) return 0;
                own_set = word_of(of[SET].buf, asking);
                own_words = word_of(of[WORDS].buf, asking++);
            }
            feature[i] = word_of(of[OF_INNER].buf, inner);
            threshold[i] = word_of(of[LIMIT].buf, inner);
            /* A sum beyond int32 becomes negative, which `check_flat` refuses. */
            left[i] = (int32_t)((uint32_t)word_of(of[STEP].buf, inner) + (uint32_t)i);
            right[i] = (int32_t)((uint32_t)left[i] + 1u);
            missing_left[i] = (uint8_t)bit_of(of[MISSING].buf, inner);
            if (has_gain) own_gain = word_of(of[GAIN].buf, inner);
            inner++;
        } else {
            if (leaf >= leaves) return 0;
            feature[i] = -1;
            threshold[i] = right[i] = missing_left[i] = 0;
            left[i] = word_of(of[OF_LEAF].buf, leaf++);
        }
        category[i] = own_set;
        words[i] = own_words;
        if (has_gain) gain[i] = own_gain;
    }
    return inner == inners && leaf == leaves && asking == sets;
}

/* spread(given, made): what `_make_forest` of automl.artifact.flats reads, and the arrays of nodes that are to be written. */
static PyObject *forest_spread(PyObject *module, PyObject *args) {
    static const Py_ssize_t given_bytes[SPREAD] = {1, 1, 1, 4, 4, 4, 4, 4, 4, 4}, made_bytes[8] = {4, 4, 4, 4, 1, 4, 4, 4};
    int held = 0, writable = 0;
    PyObject *given, *made, *result = NULL;
    Py_buffer of[SPREAD], to[8];
    (void)module;
    if (!PyArg_ParseTuple(args, "OO", &given, &made)) return NULL;
    if (!take_all(given, SPREAD, SPREAD, of, &held) || !take_all(made, 8, 0, to, &writable)) goto done;
    int64_t nodes = to[0].len / 4, inners = of[OF_INNER].len / 4, leaves = of[OF_LEAF].len / 4, sets = of[SET].len / 4;
    int64_t gains = to[7].len ? inners : 0, some = (inners + 7) / 8;
    int64_t lengths[SPREAD] = {(nodes + 7) / 8, some, some, inners, inners, inners, leaves, sets, sets, gains};
    int64_t made_lengths[8] = {nodes, nodes, nodes, nodes, nodes, nodes, nodes, to[7].len ? nodes : 0};
    if (!has_lengths(of, SPREAD, given_bytes, lengths) || !has_lengths(to, 8, made_bytes, made_lengths)) goto done;
    if (spread_nodes(of, to, nodes)) result = Py_NewRef(Py_None);
    else PyErr_SetString(PyExc_ValueError, "arrays of another length than there are nodes");
done:
    while (held--) PyBuffer_Release(of + held);
    while (writable--) PyBuffer_Release(to + writable);
    return result;
}
