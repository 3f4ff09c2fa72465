/* A compiled program and what its arrays hold; see automl.predictor.program. Included by _kernel.c. */
#define LANES 16
#define MOST_WORDS 8    /* of 32 leaves, for trees that are evaluated by their leaves */
#define BLOCK 64        /* rows that share one pass over the trees */
#define FEW 8           /* fewer rows than this go one by one */
#define RELEASE 64      /* from so many rows on, other threads of Python run meanwhile */
#define MISSING_DIGIT 0xFFFFFFFFull
#define GOLDEN 0x9E3779B97F4A7C15ull

typedef struct { uint32_t value, meta; } Node;

enum { NODES, SETS, REALS, TREES, PARTS, PART_REALS, TERMS, FILLS, DERIVED, DEFAULTS, DIGITS, DIGIT_THRESHOLDS, KEYS,
       KEY_VALUES, STARTS, ENTRIES, SPANS, LEAF_ROWS, READ, BUFFERS };
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
    int columns, outputs, shift, first_set, width, derived, parts, most_outputs, read;
    double temperature;
    int held;
    Py_buffer buffers[BUFFERS];
} Program;

#define ARRAY(p, type, which) ((const type *)(p)->buffers[which].buf)

typedef struct { float *block, *wide; int32_t *cell; double *sums; void *memory; } Scratch;

/* Functions that the loader of a program picks by what the processor can do. */
#if defined(__x86_64__) && defined(__gnu_linux__) && defined(__GNUC__) && !defined(__clang__)
#define ANY_CPU __attribute__((target_clones("avx2", "default")))
#else
#define ANY_CPU
#endif
