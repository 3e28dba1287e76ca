/* Takes float32 rows into running statistics: what RunningStatistics in statistics.py does with
 * NumPy. Called by scan.py.
 *
 * Sums are in double precision and in one order on every 64-bit processor; squares of float32 are
 * exact in it. NaN and infinities are counted and otherwise left out. */

#include <math.h>
#include <stdint.h>
#include <string.h>

enum {
    LANES = 16,             /* columns that are added side by side: a vector of AVX-512 */
    WIDEST = 128,           /* of a table, in columns */
    VALUES_AT_ONCE = 4096,  /* of a table: in the nearest cache from one pass to the next */
    COUNTED_AT_ONCE = 1024, /* an even number, whose steps stay there as well */
    MOST_OFFSET = 256,      /* a mean's square in variances: beyond, squares are found anew */
    INFINITE = 0x7f800000,  /* the bits of infinity; those of NaN are above */
    SHIFT = 22,             /* leaves the exponent of a float32 and the first bit after it */
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

/* What the rows of one call add to that: sums, not means, and squares of the values themselves. */
typedef struct {
    double *sum, *squares;
    int64_t *finite, *zeros;
    float *lowest, *highest;
} Found;

/* For every two bins how many pairs of neighbours fall into them, which is half the work of
 * counting each value. There are two tables: to add to one count twice in a row would stall. */
typedef struct {
    uint32_t even[BINS + 1][BINS + 1], odd[BINS + 1][BINS + 1];
} Pairs;

/* The samples of the largest maxima, `(kept, channels)`, the largest first; the least of each
 * channel's maxima once more. */
typedef struct {
    double *values;
    int64_t *samples, kept;
    float *least;
} Top;

/* Rows of `width` columns, which are the channels once or several times over. */
typedef struct {
    const float *values;
    int64_t rows, stride, width, channels;
} Table;

/* What is found of each column of a table. */
typedef struct {
    float lowest[WIDEST], highest[WIDEST];
    double sum[WIDEST], squares[WIDEST];
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
    double sum[LANES], squares[LANES];
    int32_t finite[LANES], zeros[LANES];
    for (int64_t lane = 0; lane < lanes; lane++) {
        lowest[lane] = INFINITY, highest[lane] = -INFINITY;
        sum[lane] = 0, squares[lane] = 0, finite[lane] = 0, zeros[lane] = 0;
    }
    for (int64_t row = 0; row < table.rows; row++) {
        const float *value = table.values + row * table.stride + first;
        for (int64_t lane = 0; lane < lanes; lane++) {
            const int known = all_finite || is_finite(value + lane);
            const float low = known ? value[lane] : INFINITY;
            const float high = known ? value[lane] : -INFINITY;
            const double wide = known ? value[lane] : 0;
            lowest[lane] = low < lowest[lane] ? low : lowest[lane];
            highest[lane] = high > highest[lane] ? high : highest[lane];
            sum[lane] += wide;
            squares[lane] += wide * wide;
            finite[lane] += known;
            zeros[lane] += value[lane] == 0;
        }
    }
    memcpy(found->lowest + first, lowest, lanes * sizeof *lowest);
    memcpy(found->highest + first, highest, lanes * sizeof *highest);
    memcpy(found->sum + first, sum, lanes * sizeof *sum);
    memcpy(found->squares + first, squares, lanes * sizeof *squares);
    memcpy(found->finite + first, finite, lanes * sizeof *finite);
    memcpy(found->zeros + first, zeros, lanes * sizeof *zeros);
}

/* All columns, LANES at a time, a number that the compiler knows; the last may be done twice. */
inlined void add_columns(Table table, int all_finite, Columns *found) {
    const int64_t last = table.width - LANES;
    if (last < 0) {
        add(table, 0, table.width, 0, found);
    } else if (all_finite) {
        for (int64_t first = 0; first < table.width; first += LANES)
            add(table, lesser(first, last), LANES, 1, found);
    } else {
        for (int64_t first = 0; first < table.width; first += LANES)
            add(table, lesser(first, last), LANES, 0, found);
    }
}

/* The columns of each channel together, in its first column. */
inlined void fold(Table table, Columns *found) {
    for (int64_t times = table.width / table.channels; times > 1;) {
        const int64_t half = (times + 1) / 2, apart = half * table.channels;
        for (int64_t column = 0; column < (times - half) * table.channels; column++) {
            const int64_t other = column + apart;
            const float low = found->lowest[other], high = found->highest[other];
            found->lowest[column] = low < found->lowest[column] ? low : found->lowest[column];
            found->highest[column] = high > found->highest[column] ? high : found->highest[column];
            found->sum[column] += found->sum[other];
            found->squares[column] += found->squares[other];
            found->finite[column] += found->finite[other];
            found->zeros[column] += found->zeros[other];
        }
        times = half;
    }
}

inlined void add_to(Found all, const Columns *found, int64_t channels, float *highest) {
    for (int64_t channel = 0; channel < channels; channel++) {
        const float low = found->lowest[channel], high = found->highest[channel];
        all.lowest[channel] = low < all.lowest[channel] ? low : all.lowest[channel];
        all.highest[channel] = high > all.highest[channel] ? high : all.highest[channel];
        all.sum[channel] += found->sum[channel];
        all.squares[channel] += found->squares[channel];
        all.finite[channel] += found->finite[channel];
        all.zeros[channel] += found->zeros[channel];
        highest[channel] = high > highest[channel] ? high : highest[channel];
    }
}

/* Bins of what is finite, from the upper half of each value, sixteen bits at a time; returns the
 * largest magnitude's bits. Bins hold their lower edge, below zero the one far from it: there a
 * value is taken one step nearer to zero, which negative zero alone passes. */
inlined int32_t find_bins(const float *values, int64_t length, uint16_t *bins) {
    int32_t largest = 0;
    for (int64_t at = 0; at < length; at++) {
        const int32_t bits = bits_of(values + at), whole = bits & INT32_MAX;
        largest = whole > largest ? whole : largest;
        const int16_t half = (int16_t)((uint32_t)(bits + (bits >> 31)) >> 16);
        const int16_t sign = half >> 15, magnitude = half & INT16_MAX;
        int16_t step = (int16_t)((magnitude >> (SHIFT - 16)) - BELOW_FIRST);
        step = step < 0 ? 0 : step;
        step = step > ZERO_BIN ? ZERO_BIN : step;
        step = magnitude == INT16_MAX ? 0 : step; /* negative zero */
        bins[at] = (uint16_t)((step ^ sign) - sign + ZERO_BIN);
    }
    return largest;
}

/* At most COUNTED_AT_ONCE; returns whether all are finite. */
inlined int count_some(const float *values, int64_t length, Pairs *pairs) {
    uint16_t bins[COUNTED_AT_ONCE + 1], cells[COUNTED_AT_ONCE / 2];
    const int all_finite = find_bins(values, length, bins) < INFINITE;
    for (int64_t at = 0; !all_finite && at < length; at++)
        bins[at] = is_finite(values + at) ? bins[at] : NO_BIN;
    bins[length] = NO_BIN;
    const int64_t couples = (length + 1) / 2;
    for (int64_t at = 0; at < couples; at++)
        cells[at] = (uint16_t)(bins[2 * at] * (BINS + 1) + bins[2 * at + 1]);
    uint32_t *even = pairs->even[0], *odd = pairs->odd[0];
    int64_t at = 0;
    for (; at + 1 < couples; at += 2) {
        even[cells[at]]++;
        odd[cells[at + 1]]++;
    }
    if (at < couples) even[cells[at]]++;
    return all_finite;
}

/* Counts the values; returns whether all are finite. */
for_each_processor static int count(const float *values, int64_t length, Pairs *pairs) {
    int all_finite = 1;
    for (int64_t first = 0; first < length; first += COUNTED_AT_ONCE)
        all_finite &= count_some(values + first, lesser(length - first, COUNTED_AT_ONCE), pairs);
    return all_finite;
}

for_each_processor static void add_table(Table table, int all_finite, Found all, float *highest) {
    Columns found;
    add_columns(table, all_finite, &found);
    fold(table, &found);
    add_to(all, &found, table.channels, highest);
}

static Found from_channel(Found all, int64_t first) {
    return (Found){all.sum + first,   all.squares + first, all.finite + first,
                   all.zeros + first, all.lowest + first,  all.highest + first};
}

/* Few channels make columns several times over, until these fill the lanes or nearly so. */
static void add_few(const float *values, int64_t rows, int64_t channels, int all_finite, Found all,
                    float *highest) {
    int64_t times = 1;
    while (times * channels % LANES && 2 * times * channels <= WIDEST) times *= 2;
    times = lesser(times, rows);
    const int64_t width = times * channels, left = rows % times;
    const Table table = {values, rows / times, width, width, channels};
    add_table(table, all_finite, all, highest);
    if (left == 0) return;
    values += (rows - left) * channels;
    const Table last = {values, 1, left * channels, left * channels, channels};
    add_table(last, all_finite, all, highest);
}

static int64_t rows_at_once(int64_t channels) { return VALUES_AT_ONCE / lesser(channels, WIDEST); }

/* At most `rows_at_once`. */
static void take_in_some(const float *values, int64_t rows, int64_t channels, Found all,
                         Pairs *pairs, float *highest) {
    const int all_finite = count(values, rows * channels, pairs);
    if (channels < WIDEST) {
        add_few(values, rows, channels, all_finite, all, highest);
        return;
    }
    for (int64_t first = 0; first < channels; first += WIDEST) {
        const int64_t width = lesser(channels - first, WIDEST);
        const Table table = {values + first, rows, channels, width, width};
        add_table(table, all_finite, from_channel(all, first), highest + first);
    }
}

/* `(rows, channels)`. */
static void take_in_rows(const float *values, int64_t rows, int64_t channels, Found all,
                         Pairs *pairs, float *highest) {
    const int64_t step = rows_at_once(channels);
    for (int64_t first = 0; first < rows; first += step)
        take_in_some(values + first * channels, lesser(rows - first, step), channels, all, pairs,
                     highest);
}

/* Leaves the tables empty for the next call. */
static void add_pairs(Pairs *pairs, int64_t *histogram) {
    int64_t counts[BINS + 1] = {0};
    for (int one = 0; one <= BINS; one++)
        for (int other = 0; other <= BINS; other++) {
            const int64_t many = (int64_t)pairs->even[one][other] + pairs->odd[one][other];
            counts[one] += many;
            counts[other] += many;
        }
    for (int bin = 0; bin < BINS; bin++) histogram[bin] += counts[bin];
    memset(pairs, 0, sizeof *pairs);
}

static void forget(float *highest, int64_t channels) {
    for (int64_t channel = 0; channel < channels; channel++) highest[channel] = -INFINITY;
}

for_each_processor static const float *find_highest(const float *values, int64_t positions,
                                                    int64_t channels, float *highest) {
    forget(highest, channels);
    for (int64_t position = 0; position < positions; position++)
        for (int64_t channel = 0; channel < channels; channel++) {
            const float *value = values + position * channels + channel;
            const float high = is_finite(value) ? *value : -INFINITY;
            highest[channel] = high > highest[channel] ? high : highest[channel];
        }
    return highest;
}

for_each_processor static int any_above(const float *highest, const float *least,
                                        int64_t channels) {
    int any = 0;
    for (int64_t channel = 0; channel < channels; channel++)
        any |= highest[channel] > least[channel];
    return any;
}

/* Lets a sample in where its maximum is finite and above the least that is kept. */
static void let_in(int64_t sample, int64_t channels, const float *highest, Top top) {
    for (int64_t channel = 0; channel < channels; channel++) {
        const float high = highest[channel];
        if (!(high > top.least[channel]) || !is_finite(&high)) continue;
        const int64_t last = (top.kept - 1) * channels + channel;
        int64_t place = last;
        for (; place >= channels && high > top.values[place - channels]; place -= channels) {
            top.values[place] = top.values[place - channels];
            top.samples[place] = top.samples[place - channels];
        }
        top.values[place] = high;
        top.samples[place] = sample;
        top.least[channel] = (float)top.values[last];
    }
}

/* One sample of `(positions, channels, inner)`: the values of a channel are neighbours. */
static void take_in_inner(const float *values, int64_t positions, int64_t channels, int64_t inner,
                          Found all, Pairs *pairs, float *highest) {
    for (int64_t position = 0; position < positions; position++)
        for (int64_t channel = 0; channel < channels; channel++, values += inner)
            take_in_rows(values, inner, 1, from_channel(all, channel), pairs, highest + channel);
}

/* Sums become means, and squares those of deviations from them; returns whether these are lost
 * beside the squares of the means. */
static int center(Found all, int64_t channels) {
    int is_lost = 0;
    for (int64_t channel = 0; channel < channels; channel++) {
        const double mean = all.sum[channel] / (double)greater(all.finite[channel], 1);
        const double offset = all.sum[channel] * mean;
        all.squares[channel] -= offset;
        is_lost |= all.squares[channel] * MOST_OFFSET < offset;
        all.sum[channel] = mean;
    }
    return is_lost;
}

/* Squares of deviations, of `(rows, channels)`. */
for_each_processor static void square_rows(const float *values, int64_t rows, int64_t channels,
                                           const double *mean, double *squares) {
    for (int64_t row = 0; row < rows; row++)
        for (int64_t channel = 0; channel < channels; channel++, values++) {
            const double apart = is_finite(values) ? *values - mean[channel] : 0;
            squares[channel] += apart * apart;
        }
}

/* The same of `(rows, channels, inner)`. */
static void square(const float *values, int64_t rows, int64_t channels, int64_t inner, Found all) {
    memset(all.squares, 0, channels * sizeof *all.squares);
    if (inner == 1) {
        square_rows(values, rows, channels, all.sum, all.squares);
        return;
    }
    for (int64_t row = 0; row < rows; row++)
        for (int64_t channel = 0; channel < channels; channel++, values += inner)
            square_rows(values, inner, 1, all.sum + channel, all.squares + channel);
}

/* As Chan, Golub and LeVeque, see statistics.py; `size` is how many values a channel has. */
static void combine(Found all, int64_t size, int64_t channels, Channels known) {
    for (int64_t channel = 0; channel < channels; channel++) {
        const double before = (double)known.count[channel], finite = (double)all.finite[channel];
        const double share = finite / (before + finite > 1 ? before + finite : 1);
        const double apart = all.sum[channel] - known.mean[channel];
        const float low = all.lowest[channel], high = all.highest[channel];
        known.mean[channel] += apart * share;
        known.squares[channel] += all.squares[channel] + apart * apart * (before * share);
        known.minimum[channel] = low < known.minimum[channel] ? low : known.minimum[channel];
        known.maximum[channel] = high > known.maximum[channel] ? high : known.maximum[channel];
        known.count[channel] += all.finite[channel];
        known.zeros[channel] += all.zeros[channel];
        known.not_finite[channel] += size - all.finite[channel];
    }
}

/* Samples of `(positions, channels)`, whose largest values of all are `highest`. */
static void let_in_some(const float *values, int64_t first, int64_t samples, int64_t positions,
                        int64_t channels, float *highest, Top top) {
    if (!top.kept || !any_above(highest, top.least, channels)) return;
    for (int64_t sample = 0; sample < samples; sample++, values += positions * channels) {
        const float *maxima = values;
        if (samples == 1)
            maxima = highest;
        else if (positions > 1)
            maxima = find_highest(values, positions, channels, highest);
        if (any_above(maxima, top.least, channels))
            let_in(first + sample, channels, maxima, top);
    }
}

/* What the arrays are is said in scan.py. */
void actscope_scan(const float *values, const int64_t *shape, double *floats, int64_t *integers,
                   int64_t *histogram, double *sums, int64_t *counts, float *extremes,
                   Pairs *pairs) {
    const int64_t samples = shape[0], positions = shape[1], channels = shape[2], inner = shape[3];
    const int64_t first = shape[4], size = positions * channels * inner;
    const Channels known = {
        floats,   floats + channels,   floats + 2 * channels,  floats + 3 * channels,
        integers, integers + channels, integers + 2 * channels};
    const Found all = {sums,     sums + channels,    counts, counts + channels,
                       extremes, extremes + channels};
    float *highest = extremes + 2 * channels;
    const Top top = {floats + 4 * channels, integers + 3 * channels, shape[5],
                     extremes + 3 * channels};
    const int64_t together = inner > 1 ? 1 : greater(rows_at_once(channels) / positions, 1);
    for (int64_t sample = 0; sample < samples; sample += together) {
        const float *block = values + sample * size;
        const int64_t several = lesser(samples - sample, together);
        forget(highest, channels);
        if (inner > 1)
            take_in_inner(block, positions, channels, inner, all, pairs, highest);
        else
            take_in_rows(block, several * positions, channels, all, pairs, highest);
        let_in_some(block, first + sample, several, positions, channels, highest, top);
    }
    add_pairs(pairs, histogram);
    if (center(all, channels)) square(values, samples * positions, channels, inner, all);
    combine(all, samples * positions * inner, channels, known);
}
