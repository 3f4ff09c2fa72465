/* Multilayer perceptrons as automl_core.Network describes them, row by row. Included by _kernel.c.
 *
 * Inputs that are 0, indicators and units that a rectifier has shut, are passed over: most of a first layer's are.
 */
enum { SOURCE, CENTER, FACTOR, FLAGS, FREQUENCY, PHASE, CATEGORIES, START, WIDTH, LEVELS, TABLE, BASE, LAYERS, SIZES, HELD };
enum { RELU, SELU, MISH };

typedef struct {
    PyObject_HEAD
    int columns, activation, link, cosines, layers, outputs, most;
    double low, high, scale;
    int held;
    Py_buffer buffers[HELD];
} Network;

#define LENGTH(n, type, which) ((n)->buffers[which].len / (Py_ssize_t)sizeof(type))

static void read_inputs(const Network *n, const float *row, double *to) {
    const int32_t *source = ARRAY(n, int32_t, SOURCE), *flags = ARRAY(n, int32_t, FLAGS);
    const double *center = ARRAY(n, double, CENTER), *factor = ARRAY(n, double, FACTOR);
    const float *frequency = ARRAY(n, float, FREQUENCY), *phase = ARRAY(n, float, PHASE);
    Py_ssize_t numbers = LENGTH(n, int32_t, SOURCE), shown = LENGTH(n, int32_t, FLAGS);
    for (Py_ssize_t i = 0; i < numbers; i++) {
        double t = ((double)row[source[i]] - center[i]) * factor[i];
        to[i] = isnan(t) ? 0.0 : t / sqrt(1.0 + (t / 3.0) * (t / 3.0));
    }
    for (Py_ssize_t i = 0; i < shown; i++) to[numbers + i] = isnan(row[flags[i]]) ? 1.0 : 0.0;
    double *next = to + numbers + shown;
    for (Py_ssize_t i = 0; i < numbers; i++)
        for (int k = 0; k < n->cosines; k++) {
            Py_ssize_t at = i * n->cosines + k;
            *next++ = cos(to[i] * (double)frequency[at] + (double)phase[at]);
        }
    for (Py_ssize_t j = 0; j < LENGTH(n, int32_t, CATEGORIES); j++) {
        int32_t width = ARRAY(n, int32_t, WIDTH)[j], levels = ARRAY(n, int32_t, LEVELS)[j];
        float code = row[ARRAY(n, int32_t, CATEGORIES)[j]];
        int64_t level = code >= 0.0f && code < (float)levels ? (int64_t)code : levels;
        const float *from = ARRAY(n, float, TABLE) + ARRAY(n, int32_t, START)[j] + level * width;
        for (int32_t k = 0; k < width; k++) *next++ = from[k];
    }
}

static void activate(int activation, double *values, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        double x = values[i];
        if (activation == RELU) values[i] = x > 0 ? x : 0.0;
        else if (activation == SELU) values[i] = x > 0 ? 1.0507009873554805 * x : 1.7580993408473766 * expm1(x);
        else values[i] = x * tanh(x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)));
    }
}

#if defined(__x86_64__) && defined(__GNUC__) && defined(__gnu_linux__) && !defined(__clang__)
__attribute__((target_clones("avx2", "default")))
#endif
static void dense(const float *weights, const double *inputs, int64_t count, int64_t units, double *out) {
    for (int64_t i = 0; i < count; i++) {
        const double value = inputs[i];
        if (value == 0.0) continue;
        const float *row = weights + i * units;
        for (int64_t o = 0; o < units; o++) out[o] += value * (double)row[o];
    }
}

static void run_network(const Network *n, const float *row, double *scratch, double *out) {
    const int64_t *sizes = ARRAY(n, int64_t, SIZES);
    const float *layer = ARRAY(n, float, LAYERS);
    double *from = scratch, *to = scratch + n->most;
    read_inputs(n, row, from);
    for (int l = 0; l < n->layers; l++) {
        const float *bias = layer + sizes[l] * sizes[l + 1];
        if (l) activate(n->activation, from, sizes[l]);
        for (int64_t o = 0; o < sizes[l + 1]; o++) to[o] = bias[o];
        dense(layer, from, sizes[l], sizes[l + 1], to);
        layer = bias + sizes[l + 1];
        double *swap = from;
        from = to;
        to = swap;
    }
    int64_t units = sizes[n->layers];
    for (int64_t o = 0; o < units; o++) {
        double x = from[o] < n->low ? n->low : from[o] > n->high ? n->high : from[o];
        from[o] = ARRAY(n, double, BASE)[o] + n->scale * x;
    }
    if (n->link == SIGMOID) {
        out[1] = logistic(from[0]);
        out[0] = 1.0 - out[1];
        return;
    }
    if (n->link == SOFTMAX) soften(from, units);
    memcpy(out, from, sizeof(double) * (size_t)units);
}

static void run_rows(const Network *n, const float *values, Py_ssize_t rows, double *scratch, double *out) {
    for (Py_ssize_t r = 0; r < rows; r++) run_network(n, values + r * n->columns, scratch, out + r * n->outputs);
}

static PyObject *network_predict(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Network *n = (Network *)self;
    Py_buffer values, out;
    if (count != 2) { PyErr_SetString(PyExc_TypeError, "predict(values, out)"); return NULL; }
    Py_ssize_t rows = take(n->columns, args, n->outputs, &values, &out);
    if (rows < 0) return NULL;
    double *scratch = malloc(sizeof(double) * 2 * (size_t)n->most);
    if (!scratch) PyErr_NoMemory();
    else if (rows >= RELEASE) {
        Py_BEGIN_ALLOW_THREADS
        run_rows(n, values.buf, rows, scratch, out.buf);
        Py_END_ALLOW_THREADS
    } else run_rows(n, values.buf, rows, scratch, out.buf);
    PyBuffer_Release(&values);
    PyBuffer_Release(&out);
    if (!scratch) return NULL;
    free(scratch);
    Py_RETURN_NONE;
}

/* Network(columns, activation, link, cosines, low, high, scale, arrays): arrays in the order of the buffers, all checked. */
static PyObject *network_new(PyTypeObject *type, PyObject *args, PyObject *kwargs) {
    int columns, activation, link, cosines;
    double low, high, scale;
    PyObject *arrays;
    (void)kwargs;
    if (!PyArg_ParseTuple(args, "iiiidddO!", &columns, &activation, &link, &cosines, &low, &high, &scale, &PyTuple_Type, &arrays))
        return NULL;
    if (PyTuple_Size(arrays) != HELD) { PyErr_SetString(PyExc_ValueError, "wrong number of arrays"); return NULL; }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Network *n = (Network *)allocate(type, 0);
    if (!n) return NULL;
    n->columns = columns;
    n->activation = activation;
    n->link = link;
    n->cosines = cosines;
    n->low = low;
    n->high = high;
    n->scale = scale;
    if (!hold(arrays, HELD, &n->held, n->buffers)) { Py_DECREF(n); return NULL; }
    n->layers = (int)LENGTH(n, int64_t, SIZES) - 1;
    for (int l = 0; l <= n->layers; l++)
        if (ARRAY(n, int64_t, SIZES)[l] > n->most) n->most = (int)ARRAY(n, int64_t, SIZES)[l];
    n->outputs = link == SIGMOID ? 2 : (int)ARRAY(n, int64_t, SIZES)[n->layers];
    return (PyObject *)n;
}

static void network_dealloc(PyObject *self) {
    let_go(self, ((Network *)self)->held, ((Network *)self)->buffers);
}

static PyMethodDef network_methods[] = {
    {"predict", (PyCFunction)(void (*)(void))network_predict, METH_FASTCALL, "predict(values, out): float32 rows to float64."},
    {NULL, NULL, 0, NULL},
};
static PyType_Slot network_slots[] = {
    {Py_tp_new, network_new}, {Py_tp_dealloc, network_dealloc}, {Py_tp_methods, network_methods}, {0, NULL},
};
static PyType_Spec network_spec = {
    "automl.predictor._kernel.Network", sizeof(Network), 0, Py_TPFLAGS_DEFAULT, network_slots,
};
