// Work sharing without a lasting pool: threads live as long as one call, so forked processes stay safe.
#pragma once
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace shoal {

// Calls fn(task) for task = 0 .. tasks-1, each exactly once, on up to n_threads threads.
template <class F> void parallel_for(std::size_t tasks, int n_threads, F &&fn) {
    std::size_t workers = n_threads < 1 ? 1 : static_cast<std::size_t>(n_threads);
    if (workers > tasks) workers = tasks;
    if (workers <= 1) {
        for (std::size_t t = 0; t < tasks; ++t) fn(t);
        return;
    }
    std::atomic<std::size_t> next{0};
    auto run = [&] {
        for (std::size_t t; (t = next.fetch_add(1)) < tasks;) fn(t);
    };
    std::vector<std::thread> team;
    team.reserve(workers - 1);
    for (std::size_t i = 1; i < workers; ++i) team.emplace_back(run);
    run();
    for (auto &member : team) member.join();
}

} // namespace shoal
