-- Run by test_neovim.py inside Neovim: its MessagePack-RPC client against a running mregiond.
-- KIND and ADDRESS in the environment say where; what is wrong goes to stderr, and then Neovim ends
-- with status 1.
local channel

local function call(method, ...)
  return vim.rpcrequest(channel, method, ...)
end

local function expect(wanted, found, what)
  if not vim.deep_equal(wanted, found) then
    error(('%s: %s instead of %s'):format(what, vim.inspect(found), vim.inspect(wanted)), 2)
  end
end

local function expect_error(code, method, ...)
  local ok, message = pcall(call, method, ...)
  if ok or not tostring(message):find(code .. ': ', 1, true) then
    error(('%s: %s instead of the error %s'):format(method, vim.inspect(message), code), 2)
  end
end

local function first_minute()
  expect('pong', call('ping'), 'ping')
  local before = call('size', 'nvim')
  local address = call('addBlob', 'nvim', '\1\2\3\4')
  expect(before, address, 'the first blob is at the end')
  expect('\1\2\3\4', call('loadBlob', 'nvim', address, 4), 'load')
  expect('\1\2\3\4', call('removeBlob', 'nvim', address, 4), 'remove')
  expect({ { address, 4 } }, call('getFreeMemory', 'nvim'), 'the hole')
  expect(address, call('addBlob', 'nvim', '\1\2\3\4'), 'the same place again')
  expect({}, call('getFreeMemory', 'nvim'), 'no hole')
end

local function every_byte()
  local bytes = {}
  for byte = 0, 255 do
    bytes[#bytes + 1] = string.char(byte)
  end
  local blob = table.concat(bytes)
  local address = call('addBlob', 'nvim', blob)
  expect(blob, call('loadBlob', 'nvim', address, 256), 'every byte')
  expect(blob:sub(11, 20), call('loadBlob', 'nvim', address + 10, 10), 'a part of it')
  expect(vim.NIL, call('storeBlob', 'nvim', address, blob:reverse()), 'store')
  expect(blob:reverse(), call('removeBlob', 'nvim', address, 256), 'stored')
end

local function large_blob()
  local blob = ('0123456789abcde\n'):rep(256 * 1024) -- 4 MiB
  local address = call('addBlob', 'nvim', blob)
  expect(true, call('loadBlob', 'nvim', address, #blob) == blob, 'a large blob')
  expect(vim.NIL, call('deallocate', 'nvim', address, #blob), 'deallocate')
end

-- Vim script has a type of its own for bytes, and sends it as bin.
local function vim_script()
  vim.g.channel = channel
  local address = vim.api.nvim_eval([[rpcrequest(channel, 'addBlob', 'nvim', 0z00FF0102)]])
  expect('\0\255\1\2', call('loadBlob', 'nvim', address, 4), 'sent as bin')
  expect('\0\255\1\2', call('removeBlob', 'nvim', address, 4), 'removed')
end

local function errors()
  local address = call('addBlob', 'nvim', 'x')
  call('deallocate', 'nvim', address, 1)
  expect_error('not_allocated', 'deallocate', 'nvim', address, 1)
  expect_error('out_of_bounds', 'loadBlob', 'nvim', 2 ^ 40, 1)
  expect_error('no_such_region', 'size', 'nowhere')
  expect_error('no_such_method', 'fly', 'nvim')
  expect_error('invalid_argument', 'loadBlob', 'nvim', 0.5, 1)
  expect_error('invalid_argument', 'loadBlob', 'nvim', -1, 1)
  expect_error('invalid_argument', 'loadBlob', 'nvim')
  expect_error('invalid_argument', 'createRegion', 'a/b')
  expect_error('exists', 'createRegion', 'nvim')
end

local function maps_and_notifications()
  local info = call('memoryInfo', 'nvim')
  expect(info.size, info.allocated + info.deallocated, 'size is used and free')
  expect(info.pages * 65536, info.capacity, 'a page has 65536 bytes')
  local before = call('allocated', 'nvim')
  vim.rpcnotify(channel, 'addBlob', 'nvim', 'seven..')
  vim.rpcnotify(channel, 'noSuchThing', 1, 2, 3)
  expect(before + 7, call('allocated', 'nvim'), 'a notification was executed')
  expect(vim.NIL, call('clear', 'nvim'), 'clear')
end

local ok, message = pcall(function()
  channel = vim.fn.sockconnect(vim.env.KIND, vim.env.ADDRESS, { rpc = true })
  call('createRegion', 'nvim', { fit = 'lowest' })
  for _, step in ipairs({ first_minute, every_byte, large_blob, vim_script, errors, maps_and_notifications }) do
    step()
  end
  expect(vim.NIL, call('dropRegion', 'nvim'), 'drop')
end)
io.stderr:write(ok and 'all as expected\n' or tostring(message) .. '\n')
vim.cmd(ok and 'qall!' or 'cquit 1')
