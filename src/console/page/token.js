import {button, byId, el} from './dom.js'
import {mintToken} from './local.js'

// The caller's credentials for the page's requests. They are kept only in this tab, until it is closed.

const place = 'grpc-functions:credentials'

/** @type {{token?: string, key?: string}} */
let credentials = read()

function read() {
  try {
    return JSON.parse(sessionStorage.getItem(place) ?? '{}')
  } catch {
    return {}
  }
}

/** @returns {Record<string, string>} */
export function credentialHeaders() {
  const {token, key} = credentials
  return {...(token && {authorization: `Bearer ${token}`}), ...(key && {'x-api-key': key})}
}

/** Masks secrets in headers for the screen. @param {Record<string, string>} headers */
export function masked(headers) {
  const shown = Object.entries(headers).map(([name, value]) => {
    const isSecret = name === 'authorization' || name === 'x-api-key'
    return [name, isSecret && value.length > 24 ? `${value.slice(0, 16)}…` : value]
  })
  return Object.fromEntries(shown)
}

/**
 * The dialog for credentials, which a button in the page's header opens.
 * @param {() => void} changed
 */
export function tokenDialog(changed) {
  const opener = byId('token')
  const token = el('textarea', {id: 'bearer', rows: 4, class: 'code', autocomplete: 'off', spellcheck: 'false'})
  const key = el('input', {id: 'api-key', type: 'text', class: 'code', autocomplete: 'off', spellcheck: 'false'})
  const note = el('p', {class: 'quiet', role: 'status'})
  const apply = () => {
    credentials = {token: token.value.trim().replace(/^bearer\s+/i, ''), key: key.value.trim()}
    sessionStorage.setItem(place, JSON.stringify(credentials))
    show()
    changed()
  }
  const local = button(
    'Token of the local stack',
    async () => {
      const minted = await mintToken()
      if (minted.token) token.value = minted.token
      note.textContent = minted.token
        ? `A token for the audience "${minted.audience}", good for an hour.`
        : minted.problem
    },
    {class: 'small', hidden: true},
  )
  const dialog = el(
    'dialog',
    {'aria-labelledby': 'token-title', onclose: () => opener.focus()},
    el(
      'form',
      {method: 'dialog', onsubmit: apply},
      el('h2', {id: 'token-title'}, 'Who calls'),
      el(
        'p',
        {class: 'comment'},
        'The credentials that the page sends with each request. They are kept until this tab is closed.',
      ),
      el('label', {for: 'bearer'}, 'Authorization: Bearer'),
      token,
      local,
      note,
      el('label', {for: 'api-key'}, 'x-api-key'),
      key,
      el(
        'div',
        {class: 'row end'},
        button('Cancel', () => dialog.close()),
        el('button', {class: 'primary'}, 'Use'),
      ),
    ),
  )
  document.body.append(dialog)
  const show = () => {
    const has = Boolean(credentials.token || credentials.key)
    opener.textContent = has ? 'Token ✓' : 'Token'
    opener.setAttribute('aria-label', has ? 'Token: set' : 'Token: not set')
  }
  opener.addEventListener('click', () => open())
  show()
  const open = () => {
    token.value = credentials.token ?? ''
    key.value = credentials.key ?? ''
    note.textContent = ''
    dialog.showModal()
  }
  return {
    open,
    /** Offers a token of the local stack. */
    offerLocal: () => {
      local.hidden = false
    },
  }
}
