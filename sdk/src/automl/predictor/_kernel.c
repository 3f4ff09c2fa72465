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
#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "_program.h"
#include "_columns.h"
#include "_trees.h"

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
    size_t block = stride * (p->width + 1), wide = stride * (size_t)(p->columns + p->derived + 1);
    size_t sums = stride * (p->most_outputs + 1);
    scratch->memory = calloc(1, sums * sizeof(double) + (block + wide + stride) * sizeof(float));
    if (!scratch->memory) { PyErr_NoMemory(); return 0; }
    scratch->sums = scratch->memory;
    scratch->block = (float *)(scratch->sums + sums);
    scratch->wide = scratch->block + block;
    scratch->cell = (int32_t *)(scratch->wide + wide);
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
static Py_ssize_t take(int columns, PyObject *const *args, Py_ssize_t per_row, Py_buffer *values, Py_buffer *out) {
    if (PyObject_GetBuffer(args[0], values, PyBUF_C_CONTIGUOUS) < 0) return -1;
    if (PyObject_GetBuffer(args[1], out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0) { PyBuffer_Release(values); return -1; }
    Py_ssize_t rows = columns ? values->len / ((Py_ssize_t)sizeof(float) * columns)
                              : out->len / ((Py_ssize_t)sizeof(double) * per_row);
    if (rows * columns * (Py_ssize_t)sizeof(float) == values->len && rows * per_row * (Py_ssize_t)sizeof(double) == out->len)
        return rows;
    PyBuffer_Release(values);
    PyBuffer_Release(out);
    PyErr_SetString(PyExc_ValueError, "values or out have the wrong size for this program");
    return -1;
}

static int hold(PyObject *arrays, int count, int *held, Py_buffer *buffers) {
    for (*held = 0; *held < count; (*held)++)
        if (PyObject_GetBuffer(PyTuple_GetItem(arrays, *held), buffers + *held, PyBUF_C_CONTIGUOUS) < 0) return 0;
    return 1;
}

static void let_go(PyObject *self, int held, Py_buffer *buffers) {
    PyTypeObject *type = Py_TYPE(self);
    for (int i = 0; i < held; i++) PyBuffer_Release(buffers + i);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *program_predict(PyObject *self, PyObject *const *args, Py_ssize_t count) {
    Program *p = (Program *)self;
    Py_buffer values, out;
    Scratch scratch;
    if (count != 2) { PyErr_SetString(PyExc_TypeError, "predict(values, out)"); return NULL; }
    Py_ssize_t rows = take(p->columns, args, p->outputs, &values, &out);
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
#include "_network.h"
#include "_forest.h"
#include "_rows.h"

static void program_dealloc(PyObject *self) {
    let_go(self, ((Program *)self)->held, ((Program *)self)->buffers);
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
    if (!hold(arrays, BUFFERS, &p->held, p->buffers)) { Py_DECREF(p); return NULL; }
    p->read = (int)(p->buffers[READ].len / (Py_ssize_t)sizeof(int32_t));
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

static int add_type(PyObject *module, const char *name, PyType_Spec *spec) {
    PyObject *type = PyType_FromSpec(spec);
    if (!type) return -1;
    int result = PyModule_AddObjectRef(module, name, type);
    Py_DECREF(type);
    return result;
}

static PyMethodDef module_methods[] = {
    {"lay_out", forest_lay_out, METH_VARARGS, "lay_out(deepest, arrays): False where a tree is too deep."},
    {"number_leaves", forest_number_leaves, METH_O, "number_leaves((delta, count, first))."},
    {"find_fault", forest_find_fault, METH_VARARGS, "find_fault(wide, values, arrays): what is wrong with nodes, or None."},
    {"mark_columns", forest_mark_columns, METH_O, "mark_columns(arrays): which columns nodes read, in which way."},
    {"spread", forest_spread, METH_VARARGS, "spread(given, made): the nodes of a forest from those of a file."},
    {"fill_nodes", forest_fill_nodes, METH_VARARGS, "fill_nodes(lowest, arrays): what nodes ask, in the order of a layout."},
    {"encode_rows", (PyCFunction)(void (*)(void))encode_rows, METH_FASTCALL,
     "encode_rows(rows, names, codes, strict, out): how many rows, from the first on, are of plain values, which are written."},
    {NULL, NULL, 0, NULL},
};

static int execute(PyObject *module) {
    return add_type(module, "Program", &program_spec) || add_type(module, "Network", &network_spec) ? -1 : 0;
}
static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, execute}, {0, NULL}};
static struct PyModuleDef module = {PyModuleDef_HEAD_INIT, "_kernel", NULL, 0, module_methods, module_slots, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__kernel(void) { return PyModuleDef_Init(&module); }
