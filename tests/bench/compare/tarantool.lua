-- A Tarantool with one space of blobs, its key a number. Its folder is the current one; what it
-- listens on is in the environment. Every insert is durable before it is answered.
box.cfg {
    wal_mode = 'fsync',
    memtx_memory = 6 * 1024 * 1024 * 1024,
    memtx_max_tuple_size = 2 * 1024 * 1024,
    checkpoint_interval = 0,
    net_msg_max = 4096, -- what the clients here have in flight is less
    log_level = 'error',
}
box.schema.space.create('blobs', { id = 512 })
box.space.blobs:create_index('number', { type = 'hash', parts = { 1, 'unsigned' } })
box.schema.user.grant('guest', 'read,write,execute', 'universe')
box.cfg { listen = os.getenv('LISTEN') } -- last: who can connect finds everything there
