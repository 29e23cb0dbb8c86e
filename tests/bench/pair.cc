#include "pair.h"

#include <absl/container/btree_map.h>
#include <absl/container/btree_set.h>

#include <utility>

struct pair {
    absl::btree_map<uint64_t, uint64_t> by_address;
    absl::btree_set<std::pair<uint64_t, uint64_t>> by_size;
    uint64_t size = 0;
};

static void take(struct pair *pair, struct extent *extent)
{
    auto found = pair->by_size.lower_bound({extent->size, 0});
    if (found == pair->by_size.end()) {
        extent->address = pair->size;
        pair->size += extent->size;
        return;
    }
    uint64_t size = found->first, address = found->second;
    pair->by_size.erase(found);
    auto block = pair->by_address.find(address);
    if (size == extent->size) {
        pair->by_address.erase(block);
    } else {
        /* The high end goes, so that the block keeps its place among the addresses. */
        block->second = size - extent->size;
        pair->by_size.insert({block->second, address});
    }
    extent->address = address + size - extent->size;
}

static void give(struct pair *pair, struct extent extent)
{
    auto next = pair->by_address.lower_bound(extent.address);
    bool has_next = next != pair->by_address.end() && next->first == extent.address + extent.size;
    if (next != pair->by_address.begin()) {
        auto before = std::prev(next);
        if (before->first + before->second == extent.address) {
            pair->by_size.erase({before->second, before->first});
            before->second += extent.size;
            if (has_next) {
                before->second += next->second;
                pair->by_size.erase({next->second, next->first});
                uint64_t address = before->first;
                pair->by_address.erase(next);
                before = pair->by_address.find(address);
            }
            pair->by_size.insert({before->second, before->first});
            return;
        }
    }
    if (has_next) {
        extent.size += next->second;
        pair->by_size.erase({next->second, next->first});
        next = pair->by_address.erase(next);
    }
    pair->by_address.insert(next, {extent.address, extent.size});
    pair->by_size.insert({extent.size, extent.address});
}

struct pair *pair_new(void)
{
    return new struct pair;
}

void pair_free(struct pair *pair)
{
    delete pair;
}

void pair_take_all(struct pair *pair, struct extent *extents, size_t count)
{
    for (size_t i = 0; i < count; i++)
        take(pair, &extents[i]);
}

void pair_give_all(struct pair *pair, const struct extent *extents, size_t count)
{
    for (size_t i = 0; i < count; i++)
        give(pair, extents[i]);
}

size_t pair_blocks(const struct pair *pair)
{
    return pair->by_address.size();
}
