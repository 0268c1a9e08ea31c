import type { Claim, ClaimKind, HeaderParameter } from '../claims.js'
import type { Task } from '../commands.js'
import type { Racer } from '../race.js'
import type { Store } from '../stores.js'
import type { Part } from '../token.js'

/** Everything that the page says, in English. What is in another language must be all of it: see words.ts. */
export const en = {
  title: 'One secret: follow a token from server to server',
  brand: 'one secret',
  skip: 'Skip to the token',
  lead: {
    heading: 'One token, any server',
    text: 'Behind this page are identical servers that have only a secret key in common. Log in at one of them, and watch the others believe what it signed.'
  },
  nav: {
    label: 'Sections',
    anatomy: 'Token',
    hops: 'Hops',
    revocation: 'Revocation',
    storage: 'Storage',
    lanes: 'Four lanes',
    docs: 'API'
  },
  settings: {
    language: 'Language',
    theme: 'Colours',
    themes: { auto: 'System', light: 'Light', dark: 'Dark' }
  },
  login: {
    heading: 'Log in',
    username: 'User name',
    usernameRule: '2 to 32 letters, digits, dots, dashes and underscores, a letter or a digit first',
    password: 'Password, 15 characters or more',
    lifetime: 'Token lives for',
    lifetimes: { 15: '15 seconds', 60: '1 minute', 900: '15 minutes' },
    signUp: 'Sign up and log in',
    logIn: 'Log in',
    refresh: 'Get a new token',
    logOut: 'Log out',
    note: 'The users here are there to be thrown away. The token is kept in the memory of this page alone: reload it, and you are logged out.',
    nothing: 'Nobody has logged in yet.',
    loggedIn: 'it signed the token, and every other server believes it.',
    loggedOut: 'the logout is final: every server refuses the token now.',
    expired: 'the token has expired since. Get a new one, also to log out.'
  },
  answer: {
    nobody: 'nobody answered',
    accepted: 'accepted',
    refused: 'refused',
    balancer: 'the balancer',
    notYet: 'not tried yet',
    took: (ms: string) => `${ms} ms`,
    /** What a refusal's code means, where the message of the API, which is English, does not say it. */
    codes: {} as Partial<Record<string, string>>
  },
  anatomy: {
    heading: 'Anatomy of a token',
    text: 'Three parts, each in base64url, with a full stop between them. The first two can be read by anybody; the third can be made only with the secret.',
    tokenLabel: 'The token',
    example: 'An example, until you log in',
    parts: { header: 'Header', payload: 'Payload', signature: 'Signature' } satisfies Record<Part, string>,
    partsText: {
      header: 'Which key signed it, and how',
      payload: 'What is claimed',
      signature: 'HMAC-SHA-256 of the first two parts, with the secret'
    } satisfies Record<Part, string>,
    kinds: { registered: 'registered', public: 'public', private: 'private' } satisfies Record<ClaimKind, string>,
    kindsText: {
      registered: 'RFC 7519 §4.1 says what it means',
      public: 'a name in IANA’s registry, the same for everybody',
      private: 'agreed on by those who use it, here this API'
    } satisfies Record<ClaimKind, string>,
    kindsHeading: 'Three kinds of claims',
    claims: {
      iss: 'Issuer: who signed it',
      aud: 'Audience: who it is meant for',
      sub: 'Subject: the user, under a number that says nothing',
      sid: 'The session: one login on one device',
      jti: 'The number of this token, by which it can be taken back',
      scope: 'What it may be used for',
      replica: 'The server that issued it',
      iat: 'Issued at',
      exp: 'Expires'
    } satisfies Record<Claim, string>,
    header: {
      alg: 'How it is signed: HMAC with SHA-256',
      kid: 'Which key of the ring',
      typ: 'An access token, and no other kind of JWT'
    } satisfies Record<HeaderParameter, string>,
    left: (time: string) => `${time} left`,
    expired: 'expired',
    ended: 'The session has ended: no server accepts this token.',
    tamper: {
      heading: 'Change one letter',
      text: 'Send the token as it is, or with one letter changed. Whoever gets it finds out without asking anybody.',
      asIs: 'As it is',
      send: 'Send',
      change: 'Change a letter and send',
      letter: (from: string, to: string, at: number) => `letter ${at}: ${from} became ${to}`
    },
    thief: {
      heading: 'What it tells a thief',
      tells: [
        'that there is a user with this number, and when they logged in',
        'which session to wait for, and which server is called what',
        'until when it can be used: by whoever holds it'
      ],
      tellsNot: 'It does not tell a name, an address or a password, for none is in it.',
      button: 'Use it as a thief',
      text: 'Sends the token and nothing else, no cookie and no password.',
      accepted: 'It takes the thief for you. So tokens live for minutes, and can be taken back.',
      refused: 'The thief is too late.'
    }
  },
  hops: {
    heading: 'Hops',
    text: 'Each request goes to the next server, and so do those with which this page asks every second who is there. None of them knows you; all of them can check the signature.',
    you: 'you',
    balancer: 'balancer',
    none: 'Nobody has answered yet.',
    picture: (issuer: string | undefined, verifier: string | undefined, refused: boolean) =>
      issuer === undefined
        ? 'Nobody has issued a token yet.'
        : verifier === undefined
          ? `${issuer} issued the token.`
          : `${issuer} issued the token; ${verifier} ${refused ? 'refused what it got' : 'checked it'} last.`,
    issued: 'issued it',
    verified: 'checked it',
    silent: (seconds: number) => `silent for ${seconds} s`,
    send: 'Send 1',
    sendMany: 'Send 100',
    keepSending: 'Keep sending',
    stopSending: 'Stop sending',
    reset: 'Reset',
    log: 'The last requests',
    empty: 'None yet. Log in, or send one.',
    commands: 'What a page cannot do',
    commandsText: 'Press “Keep sending”, type one of these, and watch servers go and come while nothing fails.'
  },
  revocation: {
    heading: 'Taking a token back',
    text: 'A signature is good until it expires, and nobody has to be asked. So a logout must reach every server before it is answered: each has a copy of the list of what was taken back.',
    browser: (name: string) => `Browser ${name}`,
    loggedOut: 'not logged in',
    active: 'logged in',
    ended: 'ended',
    session: 'session',
    logIn: 'Log in',
    ask: 'Who am I?',
    logOut: 'Log out',
    devices: 'Devices of this user',
    devicesText: 'State that no token has: it is in Postgres.',
    list: 'List the devices',
    noDevices: 'Log in, and list them.',
    device: (time: string) => `logged in at ${time}`,
    elsewhere: 'another login',
    current: 'asks',
    end: 'End',
    endOf: (session: string) => `End session ${session}`,
    everywhere: 'Log out everywhere',
    watch: 'Who refuses it, and when',
    watchText:
      'While the logout is under way the page keeps asking with the token: a line from each question to its answer. A server is seen to refuse when a question gets to it.',
    watchEmpty: 'Log a browser out to see it.',
    answered: 'logout answered',
    accepted: 'accepted',
    refused: 'refused',
    first: (ms: number) => `first refusal seen at ${ms} ms`,
    notYet: 'has not refused it yet',
    after: (sent: number, accepted: number) =>
      `${sent} requests were sent after the logout had answered: ${accepted} were accepted.`,
    receipt: 'The receipt',
    receiptText: 'What the logout answered with.',
    receiptEmpty: 'None yet.',
    receiptRevoked: 'Taken back',
    receiptBy: 'Confirmed by',
    receiptWaited: 'Waited',
    receiptBound: 'at the most',
    kinds: { jti: 'token', sid: 'session' }
  },
  storage: {
    heading: 'Where a browser keeps it',
    text: 'A token has to be somewhere between two requests. Keep a login in each of the three places, and try what it lives through and who gets at it.',
    stores: { cookie: 'Cookie, HttpOnly', session: 'Session storage', local: 'Local storage' } satisfies Record<
      Store,
      string
    >,
    storesText: {
      cookie: 'The browser keeps it and sends it by itself. No script ever sees it.',
      session: 'The page keeps it and sends it. It belongs to this tab.',
      local: 'The page keeps it and sends it. It belongs to this origin.'
    } satisfies Record<Store, string>,
    keep: 'Log in and keep',
    clear: 'Log out',
    ask: 'Ask',
    kept: 'kept',
    empty: 'empty',
    rows: {
      load: 'This load found',
      reload: 'Lives through a reload',
      tab: 'Is there in a new tab',
      restart: 'Lives through the browser’s end',
      script: 'A script can read it',
      site: 'Another site can have it sent'
    },
    facts: {
      cookie: {
        reload: 'yes',
        tab: 'yes',
        restart: 'as long as Max-Age says',
        script: 'no, but it can use it',
        site: 'yes, so the API looks who asks'
      },
      session: { reload: 'yes', tab: 'no', restart: 'no', script: 'yes', site: 'no' },
      local: { reload: 'yes', tab: 'yes', restart: 'yes', script: 'yes', site: 'no' }
    } satisfies Record<Store, Record<'reload' | 'tab' | 'restart' | 'script' | 'site', string>>,
    found: (who: string) => `yes: ${who} knew you`,
    foundStale: (code: string) => `yes, but refused: ${code}`,
    foundUnknown: (code: string) => `not known: ${code}`,
    foundNothing: 'nothing',
    loaded: { reload: 'This page was reloaded.', new: 'This page was opened anew.' },
    reloadNow: 'Reload this page',
    newTab: 'Open a new tab',
    restartNote: 'To try the last one, close the browser, open it again, and come back here.',
    notKept: 'The browser did not keep the cookie: it does so on https://, and on http://localhost.',
    blocked: 'The browser does not let this page keep anything: its site data are blocked.',
    xss: {
      heading: 'A script gets in',
      text: 'The policy of this page lets no such script in. This button does what one would do.',
      button: 'Play an injected script',
      nothing: 'nothing',
      sends: {
        yes: (who: string) => `the browser added the cookie: ${who} answered as to you`,
        no: (code: string) => `no cookie to add: ${code}`
      },
      empty: 'Not played yet.'
    },
    csrf: {
      heading: 'Another site asks',
      text: 'A foreign page, here one in a sandbox, wants to log you out: it makes your browser send POST /auth/logout.',
      button: 'Play another site',
      needsCookie: 'Keep a login in the cookie first.',
      empty: 'Not played yet.',
      sent: 'It sent the request, and may not read the answer.',
      notSent: (what: string) => `It could not send the request: ${what}.`,
      stillIn: 'You are still logged in: the cookie is SameSite=Strict, so the browser kept it back.',
      loggedOut: 'You have been logged out.',
      commandText:
        'For a page at another port of this host the browser does send it, and an old browser sends it for anybody. So the API also looks at Origin and Sec-Fetch-Site, and answers 403 CROSS_SITE_REFUSED. A page cannot say that it is another one; curl can:',
      command: 'Be another site, with the cookie'
    }
  },
  lanes: {
    heading: 'Four lanes',
    text: 'The same login, kept in four ways, and the same ten requests a second to each. Then kill a server.',
    names: {
      memory: 'Session in a server’s memory',
      sticky: 'Sticky session',
      cluster: 'Sessions in Redis',
      jwt: 'Signed token'
    } satisfies Record<Racer, string>,
    notes: {
      memory: 'Only the server that was logged in at knows you; the next one takes the cookie away.',
      sticky: 'The balancer keeps you there, until it dies.',
      cluster: 'Every server asks Redis, at each request.',
      jwt: 'Every server knows you from the token.'
    } satisfies Record<Racer, string>,
    start: 'Start the race',
    stop: 'Stop the race',
    missing: 'These lanes have no servers: nobody has turned the comparison on.',
    kill: 'While they race, kill a server that keeps sessions in its memory. Only who is kept at that one notices: where nothing happens, kill the next.',
    accepted: 'accepted',
    refused: 'refused',
    perSecond: 'a second',
    mark: 'a server has gone',
    gone: (server: string) => `${server} has gone`,
    back: (server: string) => `${server} is back`,
    chart: (name: string, accepted: number, refused: number) =>
      `${name}: ${accepted} accepted and ${refused} refused in the last second`,
    notLoggedIn: (code: string) => `login refused: ${code}`,
    events: 'No server has gone yet.'
  },
  commands: {
    copy: 'Copy',
    copied: 'Copied',
    selected: 'Selected',
    tasks: {
      kill: 'Kill a server',
      revive: 'Bring it back',
      scale: 'Have eight',
      roll: 'Replace them all, one by one',
      compare: 'Turn the comparison on',
      'kill-memory': 'Kill one',
      'revive-memory': 'Bring it back'
    } satisfies Record<Task, string>,
    notes: {
      stopFirst: 'With npm start: stop it first, with Ctrl+C.',
      isBack: 'npm start has it back within a second or two.'
    },
    unknown: 'Docker first, npm start second: the balancer does not say how it was started.'
  },
  troubles: {
    label: 'What is wrong',
    unreachable: 'Nobody answers, not even the balancer. Asking again every second.',
    noReplica: 'The balancer finds no server. Asking again every second.',
    unavailable: (code: string) =>
      `The servers cannot serve everything at the moment: ${code}. Asking again every second.`,
    limited: (seconds: number) => `Too many logins. Try again in ${seconds} s.`,
    clock: (seconds: number) =>
      `The clock of this machine is ${Math.abs(seconds)} s ${seconds > 0 ? 'ahead of' : 'behind'} the balancer’s. Times are counted by the balancer’s.`
  },
  footer: 'Every request goes to this origin, and to nobody else.'
}
