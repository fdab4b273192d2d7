/* Replay of one order of arrivals under the policy `pack`, and under FGD and best fit to compare with.
 *
 * The same decisions as gpualloc/policies/pack.py (`search.py check` compares them), some thirty times as fast, so that
 * weights can be searched for. It is only meant for nodes of up to 8 GPUs of one model, as in the openb traces. What is
 * derived from the list of tasks comes ready from replay.py; docs/packing.md has the formulas.
 *
 * A shape is what the score knows of a task: CPU, number of GPUs, part of each. Host memory and models only filter. For
 * each shape and node the best score of the two ways to place is kept, and made anew where the node has changed:
 *   part   takes part of an opened GPU, or, without GPUs, only CPU;
 *   open   takes idle GPUs, those of lowest index.
 * What the cluster asks for a place (models, room for gangs) changes all the time and is taken off when a node is
 * chosen.
 *
 * CPU and GPU compute are in 1/1000. No -ffast-math: the last bits decide ties. */
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MAX_GPUS 8
#define MAX_MODELS 32
#define MAX_SIZES 256
#define MAX_SETS 4096
#define MAX_GANGS 16
#define GPU 1000
#define PODS 1001       /* tasks that a node takes in the published runs */
#define NONE (-1e30)    /* score of a way that is not there */
#define DIGITS 1e6      /* scores are compared to six decimals */
#define FAR 2.0         /* how far CPU per GPU counts as unusual */
#define PLENTY 4.0      /* so many deviations to spare, and room for gangs costs nothing */

enum { PACK, FGD, BEST_FIT };                                           /* policies */
enum { DEMAND, REGRET, DEFICIT, CORES, WHOLE, ASSORT, MODEL, SLOT };    /* weights, as in policies/weights.py */
enum { SPARE_CPU, SHARPNESS, MODEL_DEMAND, SUPPLY, GANG_DEMAND, GANG_SPREAD };  /* constants, likewise */

/* Laid out as `Problem` in replay.py. */
typedef struct {
    int nodes, kinds, shapes, groups, steps, models, sizes, sets, gangs, most_gpus, most_cpu;
    const int *node_cpu, *node_gpus, *node_model;
    const int64_t *node_memory;
    const int *kind_shape;              /* a kind of task is a shape with host memory and models */
    const int64_t *kind_memory;
    const uint32_t *kind_models;        /* bit k: model k will do */
    const int *shape_cpu, *shape_gpus, *shape_milli, *shape_size;   /* size: place in `size`, -1 without GPUs */
    const int *group_size, *group_gpus; /* shapes with GPUs that differ in CPU only are a group */
    const int *step;                    /* the CPU sizes of the shapes, ascending */
    const int *size;                    /* the parts of a GPU that are asked for */
    const double *held;                 /* [model][group][steps + 1] weight of the shapes that need no more CPU */
    const double *regret;               /* [size][1001] by the free part of the GPU */
    double cpu_per_gpu;                 /* of the tasks with GPUs */
    const uint32_t *set;                /* models that tasks are confined to, and unions; the first is empty */
    const double *set_need;             /* part of the demand that is confined to each */
    const int *gang_cpu, *gang_gpus;
    const double *gang_coming;          /* gangs at least as demanding, per GPU of demand */
} Problem;

typedef struct {
    int64_t memory;
    int cpu, pods, gpus, model, idle, whole, free[MAX_GPUS];
    int seen;                           /* last arrival at which this node was rated */
    double fragment, deficit;
} Node;

typedef struct {
    double part, open;                  /* scores */
    int gpu;                            /* of `part`; -1: none, or the lowest idle ones */
    uint32_t lossy;                     /* bit q: either way loses slots of gang q */
    uint8_t lost_part[MAX_GANGS], lost_open[MAX_GANGS];
} Cell;

typedef struct {
    const Problem *p;
    int policy;
    const double *weights[2], *constants;   /* weights without and with GPUs */
    Node *node;
    Cell *cell;                         /* [shape][node] */
    double *best;                       /* [shape][node] the better of the two ways, to pass over nodes quickly */
    int *known;                         /* [shape] how many changes are in its cells; -1: never rated */
    int *changed, changes;              /* the nodes in the order in which they changed */
    int64_t idle, idle_of_model[MAX_MODELS];
    int slots[MAX_GANGS];
} Run;

static int steps_within(const Problem *p, int cpu)
{
    int low = 0, high = p->steps;
    while (low < high) {
        int middle = (low + high) / 2;
        if (p->step[middle] <= cpu) low = middle + 1; else high = middle;
    }
    return low;
}

/* Expected idle compute of no use, in GPUs: policies/fragments.py. */
static double fragment(const Problem *p, const Node *node, int cpu, const int *left)
{
    int large[MAX_SIZES], small[MAX_SIZES], idle = 0;
    for (int j = 0; j < node->gpus; j++) idle += left[j];
    for (int l = 0; l < p->sizes; l++) {
        large[l] = small[l] = 0;
        for (int j = 0; j < node->gpus; j++)
            if (left[j] >= p->size[l]) large[l]++; else small[l] += left[j];
    }
    size_t row = (size_t)p->steps + 1;
    const double *held = p->held + row * p->groups * node->model + steps_within(p, cpu);
    double useful = 0;
    for (int q = 0; q < p->groups; q++, held += row) {
        int l = p->group_size[q];
        if (large[l] >= p->group_gpus[q]) useful += *held * (idle - small[l]);
    }
    return idle / 1000.0 - useful / 1000;
}

/* Idle GPUs that lack CPU. */
static double deficit(const Run *r, int cpu, int idle)
{
    double d = idle / 1000.0 - cpu / (r->constants[SPARE_CPU] * r->p->cpu_per_gpu);
    return d > 0 ? d : 0;
}

/* How many gangs of kind q fit. */
static int slots_of(const Problem *p, int q, int whole, int cpu)
{
    if (whole < p->gang_gpus[q] || cpu < p->gang_cpu[q]) return 0;
    int by_gpus = whole / p->gang_gpus[q], by_cpu = p->gang_cpu[q] ? cpu / p->gang_cpu[q] : by_gpus;
    return by_gpus < by_cpu ? by_gpus : by_cpu;
}

/* Take idle GPUs, the first ones; `taken` gets their bits. */
static void open_gpus(int *left, int gpus, int count, int milli, uint32_t *taken)
{
    for (int j = 0; j < gpus && count; j++)
        if (left[j] == GPU) { left[j] -= milli; count--; *taken |= 1u << j; }
}

static double limited(double x) { return x > FAR ? FAR : x; }

/* What `pack` thinks of a place; gpu < 0: the first idle ones. */
static double worth(const Run *r, const Node *node, int s, int gpu)
{
    const Problem *p = r->p;
    int gpus = p->shape_gpus[s], milli = p->shape_milli[s], cpu = node->cpu - p->shape_cpu[s];
    const double *w = r->weights[gpus > 0];
    int left[MAX_GPUS], idle = node->idle - gpus * milli, whole = node->whole;
    memcpy(left, node->free, sizeof left);
    if (gpu >= 0) {
        whole -= left[gpu] == GPU;
        left[gpu] -= milli;
    } else {
        uint32_t taken = 0;
        whole -= gpus;
        open_gpus(left, node->gpus, gpus, milli, &taken);
    }
    double score = w[DEMAND] * (node->fragment - fragment(p, node, cpu, left));
    score += w[DEFICIT] * (node->deficit - deficit(r, cpu, idle));
    score += cpu * (w[CORES] / (p->cpu_per_gpu * p->most_gpus)) + whole * (w[WHOLE] / p->most_gpus);
    if (gpus) {
        double asked = p->shape_cpu[s] / (gpus * milli / 1000.0) / p->cpu_per_gpu - 1;
        double there = node->idle ? node->cpu / (node->idle / 1000.0) / p->cpu_per_gpu - 1 : FAR;
        score += w[ASSORT] * (limited(asked) * limited(there));
    }
    if (gpu >= 0) score -= w[REGRET] * p->regret[p->shape_size[s] * (GPU + 1) + node->free[gpu]];
    return rint(score * DIGITS) / DIGITS;
}

/* Both ways of `pack` on one node. */
static void rate(const Run *r, const Node *node, int s, Cell *c)
{
    const Problem *p = r->p;
    int gpus = p->shape_gpus[s], milli = p->shape_milli[s], cpu = p->shape_cpu[s];
    for (int q = 0; q < p->gangs; q++) {
        int now = slots_of(p, q, node->whole, node->cpu);
        c->lost_part[q] = now - slots_of(p, q, node->whole, node->cpu - cpu);
        c->lost_open[q] = node->whole < gpus ? 0 : now - slots_of(p, q, node->whole - gpus, node->cpu - cpu);
        c->lossy |= (uint32_t)(c->lost_part[q] || c->lost_open[q]) << q;
    }
    if (!gpus) c->part = worth(r, node, s, -1);
    else if (milli == GPU) {
        if (node->whole >= gpus) c->open = worth(r, node, s, -1);
    } else for (int j = 0; j < node->gpus; j++) {
        if (node->free[j] < milli) continue;
        if (node->free[j] == GPU) {
            if (c->open == NONE) c->open = worth(r, node, s, j);
            continue;
        }
        double x = worth(r, node, s, j);
        if (x > c->part) { c->part = x; c->gpu = j; }
    }
}

/* The published scores, whole numbers: percent of a sigmoid of the fragment's fall, or of what is not left over. */
static void rate_published(const Run *r, const Node *node, int s, Cell *c)
{
    const Problem *p = r->p;
    int gpus = p->shape_gpus[s], milli = p->shape_milli[s], cpu = node->cpu - p->shape_cpu[s];
    int share = gpus == 1 && milli < GPU, tightest = GPU + 1;
    if (!share && node->whole < gpus) return;
    for (int j = 0; j < (share ? node->gpus : 1); j++) {
        int left[MAX_GPUS];
        uint32_t taken = 0;
        if (share && node->free[j] < milli) continue;
        memcpy(left, node->free, sizeof left);
        if (share) left[j] -= milli; else open_gpus(left, node->gpus, gpus, GPU, &taken);
        double x;
        if (r->policy == FGD) x = floor(100 / (1 + exp(fragment(p, node, cpu, left) - node->fragment)));
        else if (share && node->free[j] >= tightest) continue;
        else x = floor(100 * (1 - 0.5 * (cpu / (double)p->most_cpu
                                          + (node->idle - gpus * milli) / (1000.0 * p->most_gpus))));
        tightest = node->free[j];
        if (r->policy == BEST_FIT || x > c->part) { c->part = x; c->gpu = share ? j : -1; }
    }
}

/* Bring the cells of a shape up to date. */
static void refresh(Run *r, int s, int arrival)
{
    const Problem *p = r->p;
    int first = r->known[s] < 0, from = first ? 0 : r->known[s], to = first ? p->nodes : r->changes;
    for (int a = from; a < to; a++) {
        int n = first ? a : r->changed[a];
        Node *node = r->node + n;
        if (node->seen == arrival) continue;
        node->seen = arrival;
        size_t at = (size_t)s * p->nodes + n;
        Cell *c = r->cell + at;
        *c = (Cell){ .part = NONE, .open = NONE, .gpu = -1 };
        if (node->cpu >= p->shape_cpu[s]) {
            if (r->policy == PACK) rate(r, node, s, c); else rate_published(r, node, s, c);
        }
        r->best[at] = c->part > c->open ? c->part : c->open;
    }
    r->known[s] = r->changes;
}

/* Price of a GPU of each model: policies/scarcity.py, ModelPrices. */
static void price_models(const Run *r, double *price)
{
    const Problem *p = r->p;
    const double *k = r->constants;
    double idle = r->idle / 1000.0, surplus[MAX_SETS], top = 0, sum = 0;
    for (int q = 0; q < p->sets; q++) {
        int64_t there = 0;
        for (int m = 0; m < p->models; m++) if (p->set[q] >> m & 1) there += r->idle_of_model[m];
        surplus[q] = k[MODEL_DEMAND] * p->set_need[q] * idle - k[SUPPLY] * (there / 1000.0);
        surplus[q] /= k[SHARPNESS] * sqrt(idle + 1);
        if (surplus[q] > top) top = surplus[q];
    }
    for (int q = 0; q < p->sets; q++) {
        double weight = exp(surplus[q] - top);
        sum += weight;
        for (int m = 0; m < p->models; m++) if (p->set[q] >> m & 1) price[m] += weight;
    }
    for (int m = 0; m < p->models; m++) price[m] /= sum;
}

/* Price of a slot of each kind of gang, and the bits of those that have one: GangPrices. */
static uint32_t price_slots(const Run *r, int s, double *price)
{
    const Problem *p = r->p;
    const double *k = r->constants;
    uint32_t priced = 0;
    for (int q = 0; q < p->gangs; q++) {
        int gpus = p->gang_gpus[q];
        if (gpus < p->shape_gpus[s] || (gpus == p->shape_gpus[s] && p->gang_cpu[q] <= p->shape_cpu[s])) continue;
        double need = k[GANG_DEMAND] * p->gang_coming[q] * (r->idle / 1000.0);
        double plenty = (r->slots[q] - need) / (k[GANG_SPREAD] * sqrt(need + 1));
        if (plenty >= PLENTY) continue;
        price[q] = gpus * 0.5 * erfc(plenty / M_SQRT2);
        priced |= 1u << q;
    }
    return priced;
}

/* The node for a task, or -1; `open` tells the way. Among equals the first node. */
static int choose(const Run *r, int kind, int *open)
{
    const Problem *p = r->p;
    int s = p->kind_shape[kind], gpus = p->shape_gpus[s], chosen = -1;
    const double *w = r->weights[gpus > 0], *best = r->best + (size_t)s * p->nodes;
    const Cell *row = r->cell + (size_t)s * p->nodes;
    double model_price[MAX_MODELS] = {0}, slot_price[MAX_GANGS] = {0}, top = 0, limit = NONE / 2;
    uint32_t priced = 0;
    if (r->policy == PACK) {
        if (gpus && p->sets > 2) price_models(r, model_price);
        priced = price_slots(r, s, slot_price);
        for (int m = 0; m < p->models; m++) model_price[m] *= w[MODEL] * (gpus * p->shape_milli[s]) / 1000.0;
        for (int q = 0; q < p->gangs; q++) slot_price[q] *= w[SLOT];
    }
    for (int n = 0; n < p->nodes; n++) {
        const Node *node = r->node + n;
        const Cell *c = row + n;
        double scarce = model_price[node->model], lost_part = 0, lost_open = 0;
        if (best[n] - scarce < limit) continue;     /* slots only cost more */
        if (node->memory < p->kind_memory[kind] || !node->pods || !(p->kind_models[kind] >> node->model & 1)) continue;
        for (uint32_t lossy = priced & c->lossy; lossy; lossy &= lossy - 1) {
            int q = __builtin_ctz(lossy);
            lost_part = fmax(lost_part, c->lost_part[q] * slot_price[q]);
            lost_open = fmax(lost_open, c->lost_open[q] * slot_price[q]);
        }
        double part = c->part == NONE ? NONE : rint((c->part - (lost_part + scarce)) * DIGITS);
        double opening = c->open == NONE ? NONE : rint((c->open - (lost_open + scarce)) * DIGITS);
        double x = opening > part ? opening : part;
        if (x == NONE || (chosen >= 0 && x <= top)) continue;
        chosen = n;
        top = x;
        *open = opening > part;
        limit = (x - 2) / DIGITS;
    }
    return chosen;
}

/* Put a task on node n; the bits of its GPUs. */
static uint32_t place(Run *r, int kind, int n, int open)
{
    const Problem *p = r->p;
    Node *node = r->node + n;
    int s = p->kind_shape[kind], gpus = p->shape_gpus[s], milli = p->shape_milli[s], gpu = r->cell[(size_t)s * p->nodes + n].gpu;
    uint32_t taken = 0;
    for (int q = 0; q < p->gangs; q++) r->slots[q] -= slots_of(p, q, node->whole, node->cpu);
    node->cpu -= p->shape_cpu[s];
    node->memory -= p->kind_memory[kind];
    node->pods--;
    node->idle -= gpus * milli;
    if (gpus && !open && gpu >= 0) {
        node->free[gpu] -= milli;
        taken = 1u << gpu;
    } else open_gpus(node->free, node->gpus, gpus, milli, &taken);
    node->whole = 0;
    for (int j = 0; j < node->gpus; j++) node->whole += node->free[j] == GPU;
    for (int q = 0; q < p->gangs; q++) r->slots[q] += slots_of(p, q, node->whole, node->cpu);
    r->idle -= gpus * milli;
    r->idle_of_model[node->model] -= gpus * milli;
    node->fragment = fragment(p, node, node->cpu, node->free);
    node->deficit = deficit(r, node->cpu, node->idle);
    r->changed[r->changes++] = n;
    return taken;
}

static void start(Run *r)
{
    const Problem *p = r->p;
    for (int s = 0; s < p->shapes; s++) r->known[s] = -1;
    for (int n = 0; n < p->nodes; n++) {
        Node *node = r->node + n;
        int gpus = p->node_gpus[n];
        *node = (Node){ .memory = p->node_memory[n], .cpu = p->node_cpu[n], .pods = PODS, .gpus = gpus,
                        .model = p->node_model[n], .idle = GPU * gpus, .whole = gpus, .seen = -1 };
        for (int j = 0; j < node->gpus; j++) node->free[j] = GPU;
        node->fragment = fragment(p, node, node->cpu, node->free);
        node->deficit = deficit(r, node->cpu, node->idle);
        r->idle += node->idle;
        r->idle_of_model[node->model] += node->idle;
        for (int q = 0; q < p->gangs; q++) r->slots[q] += slots_of(p, q, node->whole, node->cpu);
    }
}

/* Play `count` arrivals. For each: its node or -1, and the bits of its GPUs. Returns 0, or -1 when memory is out. */
int replay(const Problem *p, int policy, const double *gpu_weights, const double *cpu_weights, const double *constants,
           const int *arrivals, int count, int *nodes, uint32_t *gpus)
{
    Run r = { .p = p, .policy = policy, .weights = { cpu_weights, gpu_weights }, .constants = constants };
    size_t cells = (size_t)p->shapes * p->nodes;
    r.node = malloc(sizeof *r.node * p->nodes);
    r.cell = malloc(sizeof *r.cell * cells);
    r.best = malloc(sizeof *r.best * cells);
    r.known = malloc(sizeof *r.known * p->shapes);
    r.changed = malloc(sizeof *r.changed * (count + 1));
    int done = r.node && r.cell && r.best && r.known && r.changed ? 0 : -1;
    if (!done) start(&r);
    for (int a = 0; !done && a < count; a++) {
        int open = 0;
        refresh(&r, p->kind_shape[arrivals[a]], a);
        nodes[a] = choose(&r, arrivals[a], &open);
        gpus[a] = nodes[a] < 0 ? 0 : place(&r, arrivals[a], nodes[a], open);
    }
    free(r.node);
    free(r.cell);
    free(r.best);
    free(r.known);
    free(r.changed);
    return done;
}
