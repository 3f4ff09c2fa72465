/* Rows as dicts to float32, as `automl.encoder` would one value after the other. Included by _kernel.c. */

/* Encode a level of a category, a text or a whole number, by the code that `codes` has for its text. */
static int encode_level(PyObject *value, PyObject *codes, float *out) {
    PyObject *text = PyUnicode_CheckExact(value) ? Py_NewRef(value) : PyLong_CheckExact(value) ? PyObject_Str(value) : NULL;
    PyObject *code = text ? PyDict_GetItemWithError(codes, text) : NULL;
    Py_XDECREF(text);
    if (!code) return 0;
    *out = (float)PyFloat_AsDouble(code);
    return 1;
}

/* Encode a number or a level; returns 0, maybe with an exception set, where only Python can say what the value is. */
static int encode_value(PyObject *value, PyObject *codes, float *out) {
    double number;
    if (value == Py_None) { *out = NAN; return 1; }
    if (codes != Py_None) return encode_level(value, codes, out);
    if (PyFloat_Check(value)) number = PyFloat_AsDouble(value);
    else if (PyLong_CheckExact(value) || PyBool_Check(value)) {
        number = PyLong_AsDouble(value);
        if (number == -1.0 && PyErr_Occurred()) return 0;
    } else return 0;
    if (!(number >= -FLT_MAX && number <= FLT_MAX)) return 0;
    *out = (float)number;
    return 1;
}

static int encode_row(PyObject *row, PyObject *names, PyObject *codes, int strict, float *out) {
    if (!PyDict_CheckExact(row)) return 0;
    Py_ssize_t count = PyTuple_Size(names);
    for (Py_ssize_t i = 0; i < count; i++) {
        PyObject *value = PyDict_GetItemWithError(row, PyTuple_GetItem(names, i));
        if (!value && (strict || PyErr_Occurred())) return 0;
        if (!encode_value(value ? value : Py_None, PyTuple_GetItem(codes, i), out + i)) return 0;
    }
    return 1;
}

static PyObject *encode_rows(PyObject *module, PyObject *const *args, Py_ssize_t count) {
    Py_buffer out;
    (void)module;
    if (count != 5 || !PyTuple_Check(args[1]) || !PyTuple_Check(args[2])) {
        PyErr_SetString(PyExc_TypeError, "encode_rows(rows, names, codes, strict, out)");
        return NULL;
    }
    Py_ssize_t rows = PySequence_Size(args[0]), width = PyTuple_Size(args[1]), done = 0;
    if (rows < 0 || PyObject_GetBuffer(args[4], &out, PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE) < 0) return NULL;
    Py_ssize_t stride = rows ? out.len / rows / (Py_ssize_t)sizeof(float) : width;
    if (stride < width || PyTuple_Size(args[2]) != width)
        PyErr_SetString(PyExc_ValueError, "out or codes have the wrong size for these names");
    else for (int plain = 1; plain && done < rows; done += plain) {
        PyObject *row = PySequence_GetItem(args[0], done);
        plain = row && encode_row(row, args[1], args[2], args[3] == Py_True, (float *)out.buf + done * stride);
        Py_XDECREF(row);
    }
    PyBuffer_Release(&out);
    if (stride < width || PyTuple_Size(args[2]) != width) return NULL;
    PyErr_Clear(); /* of a number too large, say: Python tells it better */
    return PyLong_FromSsize_t(done);
}
