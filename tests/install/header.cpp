// A C++ program outside the tree: what the headers declare is used as C++ users do.
#include <mregion.h>
#ifdef WITH_UV
#include <mregion_uv.h>
#endif

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace {

struct Photo {
    std::string bytes;
    mregion_block block;
};

void on_added(mregion *connection, const mregion_answer *answer, void *data)
{
    auto *photo = static_cast<Photo *>(data);

    (void)connection;
    if (answer->code == MREGION_OK)
        photo->block.address = answer->number;
}

int add(mregion *connection, Photo &photo, mregion_error &error)
{
    mregion_async async = mregion_async();

    async.on_answer = on_added;
    async.data = &photo;
    return mregion_async_add(connection, "main", photo.bytes.data(), photo.bytes.size(), &async,
                             nullptr, &error);
}

} // namespace

int main()
{
    mregion *connection = nullptr;
    mregion_error error = mregion_error();
    mregion_options options = mregion_options();
    std::vector<Photo> photos(2);
    int fd = -1;

    options.tickets_max = 1;
    if (mregion_open("unix:/nowhere", &options, &connection, &error) != MREGION_OK ||
        mregion_fd(connection, &fd, &error) != MREGION_OK ||
        add(connection, photos[0], error) != MREGION_OK)
        return 1;
    if (add(connection, photos[1], error) != MREGION_ERR_FULL ||
        std::strcmp(mregion_code_name(error.code), "pipeline_full") != 0)
        return 2;
#ifdef WITH_UV
    mregion_uv watcher;
    if (mregion_uv_start(&watcher, uv_default_loop(), connection, &error) != MREGION_OK)
        return 3;
    mregion_uv_stop(&watcher, nullptr);
    uv_run(uv_default_loop(), UV_RUN_DEFAULT);
#endif
    mregion_close(connection);
    std::printf("%s\n", mregion_version());
    return 0;
}
