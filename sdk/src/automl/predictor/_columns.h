/* The columns that nodes read: encoded, negated, as slots of sets, derived. Included by _kernel.c. */
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
