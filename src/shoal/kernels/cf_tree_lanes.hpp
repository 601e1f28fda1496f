// The contract between the tree and its one loop per instruction set. Kept free of anything inline: what a variant
// compiles with its own flags must not be linked into the rest.
#pragma once
#include <cstddef>

namespace shoal {

constexpr std::size_t LANES = 8;

// The one loop that is compiled per instruction set; see cf_tree_sweep.hpp.
struct Sweep {
    const char *name;
    // Position of the entry nearest to x, the first at ties, and its squared distance.
    std::size_t (*nearest)(const double *block, std::size_t groups, std::size_t d, const double *x, double *squared);
    // Squared distance of x to every lane.
    void (*distances)(const double *block, std::size_t groups, std::size_t d, const double *x, double *out);
};

const Sweep *portable_sweep();
const Sweep *avx2_sweep();   // null where not compiled in
const Sweep *avx512_sweep(); // null where not compiled in
const Sweep &current_sweep(); // of the variant in use

} // namespace shoal
