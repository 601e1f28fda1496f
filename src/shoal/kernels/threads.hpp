// Work sharing without a lasting pool: threads live as long as one call, so forked processes stay safe.
// Where the system gives fewer threads than asked for, the others do the work; an exception of a worker reaches
// the caller once all have stopped.
#pragma once
#include <atomic>
#include <cstddef>
#include <exception>
#include <mutex>
#include <system_error>
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
    std::exception_ptr failure;
    std::mutex guard;
    auto run = [&] {
        try {
            for (std::size_t t; (t = next.fetch_add(1)) < tasks;) fn(t);
        } catch (...) {
            const std::lock_guard<std::mutex> lock(guard);
            if (!failure) failure = std::current_exception();
            next = tasks;
        }
    };
    std::vector<std::thread> team;
    team.reserve(workers - 1);
    try {
        for (std::size_t i = 1; i < workers; ++i) team.emplace_back(run);
    } catch (const std::system_error &) { // no more threads to be had: those there are will do
    }
    run();
    for (auto &member : team) member.join();
    if (failure) std::rethrow_exception(failure);
}

} // namespace shoal
