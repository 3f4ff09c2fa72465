/* The columns that nodes read: encoded, negated, as slots of sets, derived. Included by _kernel.c. */
static inline uint64_t code_of(float value) {
    return value > -1.0f && value < 4294967040.0f ? (uint64_t)(int64_t)value : MISSING_DIGIT - 1;
}

static inline uint32_t slot_of(float value) {
    if (isnan(value)) return 0;
    return value > -1.0f && value < 4294967040.0f ? (uint32_t)(int64_t)value + 1u : 0xFFFFFFFFu;
}

/* `wide` has the encoded columns and, behind them, the derived ones: column c of row r is at wide[c * stride + r]. */
static float look_up(const Program *p, const Derivation *d, float fallback, const float *wide, size_t stride, int r) {
    const Digit *digits = ARRAY(p, Digit, DIGITS);
    const float *thresholds = ARRAY(p, float, DIGIT_THRESHOLDS);
    uint64_t key = 0;
    for (int64_t i = d->a; i < d->b; i++) {
        float value = wide[(size_t)digits[i].source * stride + r], threshold = thresholds[i];
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
ANY_CPU static void pick(const Digit *digits, const float *thresholds, int64_t count, const float *cells, const float *wide,
                         int rows, size_t stride, int32_t *cell, float *to) {
    for (int r = 0; r < rows; r++) cell[r] = 0;
    for (int64_t i = 0; i < count; i++) {
        const float *column = wide + (size_t)digits[i].source * stride, threshold = thresholds[i];
        const int32_t step = digits[i].stride;
        if (isnan(threshold)) {
            const float limit = (float)digits[i].limit;
            for (int r = 0; r < rows; r++) {
                float value = column[r], code = value < limit ? value : limit;
                code = value > -1.0f ? code : limit;
                code = value == value ? code : -1.0f;
                cell[r] += step * ((int32_t)code + 1);
            }
        } else if (digits[i].equal) for (int r = 0; r < rows; r++) cell[r] += column[r] == threshold ? step : 0;
        else for (int r = 0; r < rows; r++) cell[r] += column[r] > threshold ? step : 0;
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
    float *wide = scratch->wide;
    for (int i = 0; i < p->read; i++) {
        int32_t c = ARRAY(p, int32_t, READ)[i];
        for (int r = 0; r < rows; r++) wide[(size_t)c * stride + r] = values[(size_t)r * p->columns + c];
    }
    for (int i = 0; i < p->derived; i++) {
        const Derivation *d = ARRAY(p, Derivation, DERIVED) + i;
        float *to = wide + (size_t)(p->columns + i) * stride, fallback = ARRAY(p, float, DEFAULTS)[i];
        if (d->kind == DENSE)
            pick(ARRAY(p, Digit, DIGITS) + d->a, ARRAY(p, float, DIGIT_THRESHOLDS) + d->a, d->b - d->a,
                 ARRAY(p, float, KEY_VALUES) + d->values, wide, rows, (size_t)stride, scratch->cell, to);
        else if (d->kind == LOOKUP) for (int r = 0; r < rows; r++) to[r] = look_up(p, d, fallback, wide, (size_t)stride, r);
        else for (int r = 0; r < rows; r++)
            to[r] = calculate(d->kind, wide[(size_t)d->a * stride + r], wide[(size_t)d->b * stride + r]);
    }
    for (int c = 0; c < p->width; c++) {
        Fill how = ARRAY(p, Fill, FILLS)[c];
        float *to = scratch->block + (size_t)c * stride;
        const float *from = wide + (size_t)how.source * stride;
        if (how.kind == COPY) for (int r = 0; r < rows; r++) to[r] = from[r];
        else if (how.kind == NEGATE) for (int r = 0; r < rows; r++) to[r] = -from[r];
        else if (how.kind == LOWEST) for (int r = 0; r < rows; r++) to[r] = -INFINITY;
        else for (int r = 0; r < rows; r++) {
            uint32_t slot = slot_of(from[r]);
            memcpy(to + r, &slot, 4);
        }
    }
}
