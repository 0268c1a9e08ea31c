import { createHash } from 'node:crypto'
import { createRequire } from 'node:module'
import { CommandError, Status, NIL_ARRAY, type Reply } from './replies.js'

/** Lua in JavaScript, as far as it is used here (github.com/fengari-lua/fengari, the C API of Lua 5.3). */
interface Fengari {
  lua: {
    LUA_OK: number
    LUA_REGISTRYINDEX: number
    LUA_TBOOLEAN: number
    LUA_TNUMBER: number
    LUA_TSTRING: number
    LUA_TTABLE: number
    lua_createtable(L: LuaState, items: number, fields: number): void
    lua_error(L: LuaState): never
    lua_getfield(L: LuaState, index: number, name: Uint8Array): number
    lua_gettop(L: LuaState): number
    lua_pcall(L: LuaState, args: number, results: number, handler: number): number
    lua_pop(L: LuaState, count: number): void
    lua_pushboolean(L: LuaState, value: boolean): void
    lua_pushcfunction(L: LuaState, fn: (L: LuaState) => number): void
    lua_pushnumber(L: LuaState, value: number): void
    lua_pushlstring(L: LuaState, bytes: Uint8Array, length: number): void
    lua_rawgeti(L: LuaState, index: number, position: number): number
    lua_rawseti(L: LuaState, index: number, position: number): void
    lua_setfield(L: LuaState, index: number, name: Uint8Array): void
    lua_setglobal(L: LuaState, name: Uint8Array): void
    lua_settop(L: LuaState, index: number): void
    lua_toboolean(L: LuaState, index: number): boolean
    lua_tonumber(L: LuaState, index: number): number
    lua_tolstring(L: LuaState, index: number): Uint8Array | null
    lua_type(L: LuaState, index: number): number
  }
  lauxlib: {
    luaL_loadbuffer(L: LuaState, bytes: Uint8Array, length: number, name: Uint8Array): number
    luaL_newstate(): LuaState
    luaL_ref(L: LuaState, index: number): number
    luaL_requiref(L: LuaState, name: Uint8Array, open: (L: LuaState) => number, global: boolean): void
    luaL_where(L: LuaState, level: number): void
  }
  lualib: Record<`luaopen_${'base' | 'table' | 'string' | 'math'}`, (L: LuaState) => number>
  to_luastring(text: string): Uint8Array
}

type LuaState = object

/** Loads fengari so that a whole float prints without `.0`, as in the Lua 5.1 that Redis has. */
function loadFengari(): Fengari {
  const previous = process.env['FENGARICONF']
  process.env['FENGARICONF'] = '{"LUA_COMPAT_FLOATSTRING":true}'
  try {
    return createRequire(import.meta.url)('fengari') as Fengari
  } finally {
    if (previous === undefined) delete process.env['FENGARICONF']
    else process.env['FENGARICONF'] = previous
  }
}

/**
 * Brings Lua 5.3 near to Redis' 5.1. Fengari's integers have 32 bits, and a time in milliseconds wraps: so whatever
 * comes from outside is a float, exact to 2^53, as every number is in Redis.
 */
const PRELUDE = `
  local tonumber51, format51 = tonumber, string.format
  tonumber = function(...) local n = tonumber51(...) return n and n + 0.0 end
  string.format = function(f, ...) return format51((f:gsub('%%([-+ #0]*%d*)d', '%%%1.0f')), ...) end
  unpack, loadstring = table.unpack, load
  table.getn = function(t) return #t end
  math.pow = function(a, b) return a ^ b end
  dofile, loadfile, print, collectgarbage = nil, nil, nil, nil
  setmetatable(_G, {
    __index = function(_, name)
      error("Script attempted to access nonexistent global variable '" .. tostring(name) .. "'", 2)
    end,
    __newindex = function(t, name, value)
      if name == 'KEYS' or name == 'ARGV' then rawset(t, name, value) return end
      error("Attempt to modify a readonly table", 2)
    end
  })
`

export const sha1 = (script: string): string => createHash('sha1').update(script, 'latin1').digest('hex')

/** EVAL and its relatives: one Lua machine whose `redis.call` runs the same commands as a client would. */
export class Scripts {
  readonly #fengari = loadFengari()
  readonly #state: LuaState
  readonly #compiled = new Map<string, number>()
  readonly #call: (args: string[]) => Reply

  /** @param call runs a command; an error is returned as a reply, not thrown */
  constructor(call: (args: string[]) => Reply) {
    this.#call = call
    const { lauxlib, lualib, lua } = this.#fengari
    const L = (this.#state = lauxlib.luaL_newstate())
    for (const [name, open] of [
      ['_G', lualib.luaopen_base],
      ['table', lualib.luaopen_table],
      ['string', lualib.luaopen_string],
      ['math', lualib.luaopen_math]
    ] as const) {
      lauxlib.luaL_requiref(L, this.#bytes(name), open, true)
      lua.lua_pop(L, 1)
    }
    this.#defineRedis(L)
    this.#load(PRELUDE, '@prelude')
    if (lua.lua_pcall(L, 0, 0, 0) !== lua.LUA_OK) throw new Error(this.#string(-1))
  }

  #bytes(text: string): Uint8Array {
    return Uint8Array.from(Buffer.from(text, 'latin1'))
  }

  #string(index: number): string {
    return Buffer.from(this.#fengari.lua.lua_tolstring(this.#state, index) ?? []).toString('latin1')
  }

  #pushString(text: string): void {
    const bytes = this.#bytes(text)
    this.#fengari.lua.lua_pushlstring(this.#state, bytes, bytes.length)
  }

  #load(source: string, name: string): void {
    const { lauxlib, lua } = this.#fengari
    const bytes = this.#bytes(source)
    if (lauxlib.luaL_loadbuffer(this.#state, bytes, bytes.length, this.#bytes(name)) === lua.LUA_OK) return
    const message = this.#string(-1)
    lua.lua_pop(this.#state, 1)
    throw new CommandError(`ERR Error compiling script (new function): ${message}`)
  }

  /** A table with one field, which is how a script sees and returns a status or an error. */
  #pushField(name: 'ok' | 'err', text: string): void {
    const { lua } = this.#fengari
    lua.lua_createtable(this.#state, 0, 1)
    this.#pushString(text)
    lua.lua_setfield(this.#state, -2, this.#bytes(name))
  }

  #push(reply: Reply): void {
    const { lua } = this.#fengari
    if (typeof reply === 'string') this.#pushString(reply)
    else if (typeof reply === 'number' || typeof reply === 'bigint') lua.lua_pushnumber(this.#state, Number(reply))
    else if (reply === null || reply === NIL_ARRAY) lua.lua_pushboolean(this.#state, false)
    else if (reply instanceof Status) this.#pushField('ok', reply.text)
    else if (reply instanceof CommandError) this.#pushField('err', reply.message)
    else {
      lua.lua_createtable(this.#state, reply.length, 0)
      reply.forEach((item, index) => {
        this.#push(item)
        lua.lua_rawseti(this.#state, -2, index + 1)
      })
    }
  }

  /** The field of the table at the top, or undefined if it is no string. */
  #field(name: string): string | undefined {
    const { lua } = this.#fengari
    const isString = lua.lua_getfield(this.#state, -1, this.#bytes(name)) === lua.LUA_TSTRING
    const text = isString ? this.#string(-1) : undefined
    lua.lua_pop(this.#state, 1)
    return text
  }

  /** Takes the value at the top off the stack: a float is cut to an integer, a list ends at its first nil. */
  #pop(): Reply {
    const { lua } = this.#fengari
    const type = lua.lua_type(this.#state, -1)
    let reply: Reply = null
    if (type === lua.LUA_TSTRING) reply = this.#string(-1)
    else if (type === lua.LUA_TNUMBER) reply = BigInt(Math.trunc(lua.lua_tonumber(this.#state, -1)) || 0)
    else if (type === lua.LUA_TBOOLEAN) reply = lua.lua_toboolean(this.#state, -1) ? 1 : null
    else if (type === lua.LUA_TTABLE) {
      const err = this.#field('err')
      const ok = this.#field('ok')
      if (err !== undefined) reply = new CommandError(err)
      else if (ok !== undefined) reply = new Status(ok)
      else {
        const items: Reply[] = []
        while (lua.lua_rawgeti(this.#state, -1, items.length + 1) > 0) items.push(this.#pop())
        lua.lua_pop(this.#state, 1)
        reply = items
      }
    }
    lua.lua_pop(this.#state, 1)
    return reply
  }

  #defineRedis(L: LuaState): void {
    const { lua } = this.#fengari
    const strings = (): string[] => {
      const { LUA_TNUMBER, LUA_TSTRING } = lua
      return Array.from({ length: lua.lua_gettop(L) }, (_, index) => {
        const type = lua.lua_type(L, index + 1)
        if (type === LUA_TNUMBER) return String(lua.lua_tonumber(L, index + 1))
        if (type === LUA_TSTRING) return this.#string(index + 1)
        throw new CommandError('ERR Lua redis lib command arguments must be strings or integers')
      })
    }
    const call = (): Reply => {
      try {
        const args = strings()
        return args.length > 0
          ? this.#call(args)
          : new CommandError('ERR Please specify at least one argument for this redis.call() call')
      } catch (error) {
        if (error instanceof CommandError) return error
        throw error
      }
    }
    const functions: Record<string, (state: LuaState) => number> = {
      call: () => {
        const reply = call()
        if (!(reply instanceof CommandError)) {
          this.#push(reply)
          return 1
        }
        this.#pushField('err', reply.message)
        this.#fengari.lauxlib.luaL_where(L, 1)
        lua.lua_setfield(L, -2, this.#bytes('where'))
        return lua.lua_error(L)
      },
      pcall: () => {
        this.#push(call())
        return 1
      },
      sha1hex: () => {
        this.#pushString(sha1(strings()[0] ?? ''))
        return 1
      },
      status_reply: () => {
        this.#pushField('ok', strings()[0] ?? '')
        return 1
      },
      error_reply: () => {
        this.#pushField('err', (strings()[0] ?? '').replace(/^-/, ''))
        return 1
      },
      log: () => 0,
      replicate_commands: () => {
        lua.lua_pushboolean(L, true)
        return 1
      }
    }
    lua.lua_createtable(L, 0, 0)
    for (const [name, run] of Object.entries(functions)) {
      lua.lua_pushcfunction(L, run)
      lua.lua_setfield(L, -2, this.#bytes(name))
    }
    ;['LOG_DEBUG', 'LOG_VERBOSE', 'LOG_NOTICE', 'LOG_WARNING'].forEach((name, level) => {
      lua.lua_pushnumber(L, level)
      lua.lua_setfield(L, -2, this.#bytes(name))
    })
    lua.lua_setglobal(L, this.#bytes('redis'))
  }

  /**
   * Compiles and keeps a script.
   * @returns its SHA-1, by which EVALSHA calls it
   */
  load(script: string): string {
    const sha = sha1(script)
    if (!this.#compiled.has(sha)) {
      const { lauxlib, lua } = this.#fengari
      this.#load(script, '@user_script')
      this.#compiled.set(sha, lauxlib.luaL_ref(this.#state, lua.LUA_REGISTRYINDEX))
    }
    return sha
  }

  has(sha: string): boolean {
    return this.#compiled.has(sha.toLowerCase())
  }

  flush(): void {
    this.#compiled.clear()
  }

  /** Runs a script that was loaded. An error it raises is returned as a reply. */
  run(sha: string, keys: string[], args: string[]): Reply {
    const { lua } = this.#fengari
    const L = this.#state
    const ref = this.#compiled.get(sha.toLowerCase())
    if (ref === undefined) return new CommandError('NOSCRIPT No matching script. Please use EVAL.')
    lua.lua_settop(L, 0)
    this.#push(keys)
    lua.lua_setglobal(L, this.#bytes('KEYS'))
    this.#push(args)
    lua.lua_setglobal(L, this.#bytes('ARGV'))
    lua.lua_rawgeti(L, lua.LUA_REGISTRYINDEX, ref)
    if (lua.lua_pcall(L, 0, 1, 0) === lua.LUA_OK) return this.#pop()

    let message: string
    let where: string | undefined
    if (lua.lua_type(L, -1) === lua.LUA_TTABLE) {
      message = this.#field('err') ?? 'ERR unknown error'
      where = this.#field('where')
    } else {
      const text = this.#string(-1)
      message = `ERR ${text}`
      where = text
    }
    lua.lua_settop(L, 0)
    const line = /user_script:(\d+):/.exec(where ?? '')?.[1]
    return new CommandError(`${message} script: ${sha.toLowerCase()}${line ? `, on @user_script:${line}.` : ''}`)
  }
}
