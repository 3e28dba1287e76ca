/* Takes float32 rows into running statistics: what RunningStatistics in statistics.py does with
 * NumPy, in two passes over what stays in the nearest cache. Called by scan.py.
 *
 * Sums are in double precision and in one order on every 64-bit processor. NaN and infinities are
 * counted and otherwise left out. */

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 16,            /* columns that are added side by side: a vector of AVX-512 */
    WIDEST = 128,          /* of a table, in columns */
    VALUES_AT_ONCE = 4096, /* of a table: in the nearest cache from one pass to the next */
    FEW_POSITIONS = 16,    /* samples of fewer are taken in together, */
    FEW_VALUES = 512,      /* and those of fewer values */
    INFINITE = 0x7f800000, /* the bits of infinity; those of NaN are above */
    SHIFT = 22,            /* leaves the exponent of a float32 and the first bit after it */
    BELOW_FIRST = (127 - 24) * 2 - 1, /* of what is left: the half octave below the first edge, */
    ZERO_BIN = 81,                    /* the bin of zeros, */
    BINS = 2 * ZERO_BIN + 1,          /* and how many there are, as in histogram.py */
    NO_BIN = BINS,                    /* of what is not finite */
};

#define inlined static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && __GNUC__ >= 12
#define for_each_processor                                                                         \
    __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define for_each_processor
#endif

/* The checksum of this file, which scan.py compares: a library of another one would not fit. */
const uint32_t actscope_scan_source = SOURCE;

/* What is known of each channel. */
typedef struct {
    double *mean, *squares, *minimum, *maximum;
    int64_t *count, *zeros, *not_finite;
} Channels;

/* For every two bins how many pairs of neighbours fall into them, which is half the work of
 * counting each value. There are two tables: to add to one count twice in a row would stall. */
typedef struct {
    uint32_t even[BINS + 1][BINS + 1], odd[BINS + 1][BINS + 1];
} Pairs;

/* The samples of the largest maxima, `(kept, channels)`, the largest first. */
typedef struct {
    double *values;
    int64_t *samples, kept;
} Top;

/* Rows of `width` columns, which are the channels once or several times over. */
typedef struct {
    const float *values;
    int64_t rows, stride, width, channels;
} Table;

/* What is found of each column of a table. */
typedef struct {
    float lowest[WIDEST], highest[WIDEST];
    double sum[WIDEST], center[WIDEST], squares[WIDEST];
    int32_t finite[WIDEST], zeros[WIDEST];
} Columns;

inlined int64_t lesser(int64_t one, int64_t other) { return one < other ? one : other; }
inlined int64_t greater(int64_t one, int64_t other) { return one > other ? one : other; }

inlined int32_t bits_of(const float *value) {
    int32_t bits;
    memcpy(&bits, value, sizeof bits);
    return bits;
}

inlined int is_finite(const float *value) { return (bits_of(value) & INT32_MAX) < INFINITE; }

inlined void add(Table table, int64_t first, const int64_t lanes, const int all_finite,
                 Columns *found) {
    float lowest[LANES], highest[LANES];
    double sum[LANES];
    int32_t finite[LANES], zeros[LANES];
    for (int64_t lane = 0; lane < lanes; lane++) {
        lowest[lane] = INFINITY, highest[lane] = -INFINITY;
        sum[lane] = 0, finite[lane] = 0, zeros[lane] = 0;
    }
    for (int64_t row = 0; row < table.rows; row++) {
        const float *value = table.values + row * table.stride + first;
        for (int64_t lane = 0; lane < lanes; lane++) {
            const int known = all_finite || is_finite(value + lane);
            const float low = known ? value[lane] : INFINITY;
            const float high = known ? value[lane] : -INFINITY;
            lowest[lane] = low < lowest[lane] ? low : lowest[lane];
            highest[lane] = high > highest[lane] ? high : highest[lane];
            sum[lane] += known ? value[lane] : 0;
            finite[lane] += known;
            zeros[lane] += value[lane] == 0;
        }
    }
    memcpy(found->lowest + first, lowest, lanes * sizeof *lowest);
    memcpy(found->highest + first, highest, lanes * sizeof *highest);
    memcpy(found->sum + first, sum, lanes * sizeof *sum);
    memcpy(found->finite + first, finite, lanes * sizeof *finite);
    memcpy(found->zeros + first, zeros, lanes * sizeof *zeros);
}

inlined void square(Table table, int64_t first, const int64_t lanes, const int all_finite,
                    Columns *found) {
    double squares[LANES] = {0}, center[LANES];
    memcpy(center, found->center + first, lanes * sizeof *center);
    for (int64_t row = 0; row < table.rows; row++) {
        const float *value = table.values + row * table.stride + first;
        for (int64_t lane = 0; lane < lanes; lane++) {
            const int known = all_finite || is_finite(value + lane);
            const double apart = known ? value[lane] - center[lane] : 0;
            squares[lane] += apart * apart;
        }
    }
    memcpy(found->squares + first, squares, lanes * sizeof *squares);
}

typedef void Pass(Table, int64_t, const int64_t, const int, Columns *);

/* All columns, LANES at a time, a number that the compiler knows; the last may be done twice. */
inlined void in_lanes(Pass pass, Table table, int all_finite, Columns *found) {
    const int64_t last = table.width - LANES;
    if (last < 0) {
        pass(table, 0, table.width, 0, found);
    } else if (all_finite) {
        for (int64_t first = 0; first < table.width; first += LANES)
            pass(table, lesser(first, last), LANES, 1, found);
    } else {
        for (int64_t first = 0; first < table.width; first += LANES)
            pass(table, lesser(first, last), LANES, 0, found);
    }
}

/* The columns of each channel together, in its first column. */
inlined void fold(Table table, Columns *found) {
    for (int64_t times = table.channels; times < table.width; times += table.channels)
        for (int64_t column = 0; column < table.channels; column++) {
            const int64_t other = times + column;
            const float low = found->lowest[other], high = found->highest[other];
            found->lowest[column] = low < found->lowest[column] ? low : found->lowest[column];
            found->highest[column] = high > found->highest[column] ? high : found->highest[column];
            found->sum[column] += found->sum[other];
            found->finite[column] += found->finite[other];
            found->zeros[column] += found->zeros[other];
        }
}

inlined void find_centers(Table table, Columns *found) {
    for (int64_t column = 0; column < table.channels; column++)
        found->center[column] = found->sum[column] / (double)greater(found->finite[column], 1);
    for (int64_t times = table.channels; times < table.width; times += table.channels)
        memcpy(found->center + times, found->center, table.channels * sizeof *found->center);
}

inlined void fold_squares(Table table, Columns *found) {
    for (int64_t times = table.channels; times < table.width; times += table.channels)
        for (int64_t column = 0; column < table.channels; column++)
            found->squares[column] += found->squares[times + column];
}

/* As Chan, Golub and LeVeque, see statistics.py. */
inlined void combine(Table table, const Columns *found, Channels known, float *highest) {
    const int64_t all = table.rows * (table.width / table.channels);
    for (int64_t channel = 0; channel < table.channels; channel++) {
        const double before = (double)known.count[channel], finite = found->finite[channel];
        const double share = finite / (before + finite > 1 ? before + finite : 1);
        const double apart = found->center[channel] - known.mean[channel];
        const float low = found->lowest[channel], high = found->highest[channel];
        known.mean[channel] += apart * share;
        known.squares[channel] += found->squares[channel] + apart * apart * (before * share);
        known.minimum[channel] = low < known.minimum[channel] ? low : known.minimum[channel];
        known.maximum[channel] = high > known.maximum[channel] ? high : known.maximum[channel];
        known.count[channel] += found->finite[channel];
        known.zeros[channel] += found->zeros[channel];
        known.not_finite[channel] += all - found->finite[channel];
        if (highest) highest[channel] = high > highest[channel] ? high : highest[channel];
    }
}

/* At most VALUES_AT_ONCE; returns whether all are finite. Bins hold their lower edge: below zero
 * that is the one far from it. */
inlined int count_pairs(const float *values, int64_t length, Pairs *pairs) {
    uint8_t bins[VALUES_AT_ONCE + 1];
    int32_t largest = 0;
    for (int64_t at = 0; at < length; at++) {
        const int32_t bits = bits_of(values + at), sign = bits >> 31, magnitude = bits & INT32_MAX;
        int32_t step = ((magnitude + sign) >> SHIFT) - BELOW_FIRST;
        largest = magnitude > largest ? magnitude : largest;
        step = step < 0 ? 0 : step;
        step = step > ZERO_BIN ? ZERO_BIN : step;
        step = (step ^ sign) - sign; /* negated where the sign is set */
        bins[at] = (uint8_t)(magnitude < INFINITE ? step + ZERO_BIN : NO_BIN);
    }
    bins[length] = NO_BIN;
    int64_t at = 0;
    for (; at + 2 < length; at += 4) {
        pairs->even[bins[at]][bins[at + 1]]++;
        pairs->odd[bins[at + 2]][bins[at + 3]]++;
    }
    if (at < length) pairs->even[bins[at]][bins[at + 1]]++;
    return largest < INFINITE;
}

inlined int count_rows(Table table, Pairs *pairs) {
    if (table.stride == table.width)
        return count_pairs(table.values, table.rows * table.width, pairs);
    int all_finite = 1;
    for (int64_t row = 0; row < table.rows; row++)
        all_finite &= count_pairs(table.values + row * table.stride, table.width, pairs);
    return all_finite;
}

/* `highest`, of each channel, may be missing. */
for_each_processor static void take_in_table(Table table, Channels known, Pairs *pairs,
                                             float *highest) {
    Columns found;
    const int all_finite = count_rows(table, pairs);
    in_lanes(add, table, all_finite, &found);
    fold(table, &found);
    find_centers(table, &found);
    in_lanes(square, table, all_finite, &found);
    fold_squares(table, &found);
    combine(table, &found, known, highest);
}

static Channels from_channel(Channels known, int64_t first) {
    return (Channels){known.mean + first,      known.squares + first, known.minimum + first,
                      known.maximum + first,   known.count + first,   known.zeros + first,
                      known.not_finite + first};
}

/* Few channels make columns several times over, until these fill the lanes or nearly so. */
static void take_in_few(const float *values, int64_t rows, int64_t channels, Channels known,
                        Pairs *pairs, float *highest) {
    int64_t times = 1;
    while (times * channels % LANES && 2 * times * channels <= WIDEST) times *= 2;
    times = lesser(times, rows);
    const int64_t width = times * channels, left = rows % times;
    const Table table = {values, rows / times, width, width, channels};
    take_in_table(table, known, pairs, highest);
    if (left == 0) return;
    values += (rows - left) * channels;
    const Table last = {values, 1, left * channels, left * channels, channels};
    take_in_table(last, known, pairs, highest);
}

static int64_t rows_at_once(int64_t channels) { return VALUES_AT_ONCE / lesser(channels, WIDEST); }

/* At most `rows_at_once`. */
static void take_in_rows(const float *values, int64_t rows, int64_t channels, Channels known,
                         Pairs *pairs, float *highest) {
    if (channels < WIDEST) {
        take_in_few(values, rows, channels, known, pairs, highest);
        return;
    }
    for (int64_t first = 0; first < channels; first += WIDEST) {
        const int64_t width = lesser(channels - first, WIDEST);
        const Table table = {values + first, rows, channels, width, width};
        take_in_table(table, from_channel(known, first), pairs,
                      highest ? highest + first : highest);
    }
}

static void add_pairs(const Pairs *pairs, int64_t *histogram) {
    int64_t counts[BINS + 1] = {0};
    for (int one = 0; one <= BINS; one++)
        for (int other = 0; other <= BINS; other++) {
            const int64_t many = (int64_t)pairs->even[one][other] + pairs->odd[one][other];
            counts[one] += many;
            counts[other] += many;
        }
    for (int bin = 0; bin < BINS; bin++) histogram[bin] += counts[bin];
}

for_each_processor static void find_highest(const float *values, int64_t positions,
                                            int64_t channels, float *highest) {
    for (int64_t position = 0; position < positions; position++)
        for (int64_t channel = 0; channel < channels; channel++) {
            const float *value = values + position * channels + channel;
            const float high = is_finite(value) ? *value : -INFINITY;
            highest[channel] = high > highest[channel] ? high : highest[channel];
        }
}

/* Lets a sample in where its maximum is above the least that is kept; forgets the maxima. */
for_each_processor static void let_in(int64_t sample, int64_t channels, float *highest, Top top) {
    const double *least = top.values + (top.kept - 1) * channels;
    int any = 0;
    for (int64_t channel = 0; channel < channels; channel++)
        any |= highest[channel] > least[channel];
    for (int64_t channel = 0; any && channel < channels; channel++) {
        const double high = highest[channel];
        if (!(high > least[channel])) continue;
        int64_t place = (top.kept - 1) * channels + channel;
        for (; place >= channels && high > top.values[place - channels]; place -= channels) {
            top.values[place] = top.values[place - channels];
            top.samples[place] = top.samples[place - channels];
        }
        top.values[place] = high;
        top.samples[place] = sample;
    }
    for (int64_t channel = 0; channel < channels; channel++) highest[channel] = -INFINITY;
}

/* One sample of `(positions, channels)`. */
static void take_in_sample(const float *values, int64_t positions, int64_t channels, Channels known,
                           Pairs *pairs, float *highest) {
    const int64_t rows = rows_at_once(channels);
    for (int64_t first = 0; first < positions; first += rows)
        take_in_rows(values + first * channels, lesser(positions - first, rows), channels, known,
                     pairs, highest);
}

/* One sample of `(positions, channels, inner)`: the values of a channel are neighbours. */
static void take_in_inner(const float *values, int64_t positions, int64_t channels, int64_t inner,
                          Channels known, Pairs *pairs, float *highest) {
    for (int64_t position = 0; position < positions; position++)
        for (int64_t channel = 0; channel < channels; channel++, values += inner)
            take_in_sample(values, inner, 1, from_channel(known, channel), pairs,
                           highest + channel);
}

/* What the arrays are is said in scan.py. */
void actscope_scan(const float *values, const int64_t *shape, double *floats, int64_t *integers,
                   int64_t *histogram, float *highest, Pairs *pairs) {
    const int64_t samples = shape[0], positions = shape[1], channels = shape[2], inner = shape[3];
    const int64_t first = shape[4], size = positions * channels * inner;
    const Channels known = {
        floats,   floats + channels,   floats + 2 * channels,  floats + 3 * channels,
        integers, integers + channels, integers + 2 * channels};
    const Top top = {floats + 4 * channels, integers + 3 * channels, shape[5]};
    const int64_t together = inner == 1 && (positions < FEW_POSITIONS || size < FEW_VALUES)
                                 ? greater(rows_at_once(channels) / positions, 1)
                                 : 1;
    for (int64_t sample = 0; sample < samples; sample++, values += size) {
        if (together > 1) {
            if (sample % together == 0)
                take_in_rows(values, lesser(samples - sample, together) * positions, channels,
                             known, pairs, NULL);
            find_highest(values, positions, channels, highest);
        } else if (inner > 1) {
            take_in_inner(values, positions, channels, inner, known, pairs, highest);
        } else {
            take_in_sample(values, positions, channels, known, pairs, highest);
        }
        if (top.kept) let_in(first + sample, channels, highest, top);
    }
    add_pairs(pairs, histogram);
}
